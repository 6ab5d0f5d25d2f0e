import pytest
from transformers import ASTConfig, ASTForAudioClassification, ASTModel

from harmony_lit.errors import UserError
from metrics.networks import Runtime
from metrics.published import load_transformer

SMALL = ASTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, num_labels=3)


def test_a_model_that_lacks_tensors_is_refused_where_transformers_would_make_them_up(tmp_path):
    ASTForAudioClassification(SMALL).save_pretrained(tmp_path / "whole")
    ASTModel(SMALL).save_pretrained(tmp_path / "headless")
    assert load_transformer("ASTForAudioClassification", str(tmp_path / "whole"), Runtime("cpu")).training is False
    with pytest.raises(UserError, match="lacks classifier"):
        load_transformer("ASTForAudioClassification", str(tmp_path / "headless"), Runtime("cpu"))
