import pytest
import torch

from harmony_lit.errors import UserError
from metrics.networks import Runtime
from metrics.picture.raft import RAFTNetwork, upsampled
from metrics.published import load_published


def load(path):
    return load_published(RAFTNetwork(), str(path), "princeton-vl", "BSD-3-Clause", Runtime("cpu"), prefix="module.")


def slow_upsampled(flow: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Each fine pixel a weighted mean of the nine coarse ones around it, zero outside, times eight."""
    _, _, height, width = flow.shape
    padded = torch.nn.functional.pad(flow, (1, 1, 1, 1))
    fine = torch.zeros(1, 2, 8 * height, 8 * width)
    for row in range(8 * height):
        for column in range(8 * width):
            coarse_row, coarse_column = row // 8, column // 8
            logits = [mask[0, 64 * k + 8 * (row % 8) + column % 8, coarse_row, coarse_column] for k in range(9)]
            weights = torch.stack(logits).softmax(0)
            around = padded[0, :, coarse_row : coarse_row + 3, coarse_column : coarse_column + 3].reshape(2, 9)
            fine[0, :, row, column] = 8 * (around * weights).sum(1)
    return fine


def test_convex_upsampling_agrees_with_a_loop_over_pixels():
    torch.manual_seed(0)
    flow, mask = torch.randn(1, 2, 3, 2), torch.randn(1, 576, 3, 2)
    assert torch.allclose(upsampled(flow, mask), slow_upsampled(flow, mask), atol=1e-5)


def test_flow_agrees_with_the_reference_implementation(fill):
    draw = torch.Generator().manual_seed(11)
    before, after = 255 * torch.rand(2, 1, 3, 130, 150, generator=draw)
    with torch.inference_mode():
        flow = fill(RAFTNetwork())(before, after, iterations=4)
    assert flow.shape == (1, 2, 130, 150)
    # princeton-vl/RAFT, its InputPadder around it, on the same values.
    expected = {(10, 20): (-1.690958, 0.443104), (60, 100): (-2.286615, 0.432253), (129, 149): (-0.409316, 0.057515)}
    for (row, column), value in expected.items():
        assert flow[0, :, row, column].tolist() == pytest.approx(value, abs=1e-4)
    assert flow.mean((0, 2, 3)).tolist() == pytest.approx((-1.900524, 0.309958), abs=1e-4)


def test_it_has_the_published_number_of_parameters_and_both_names_of_the_norms_beside_strides():
    network = RAFTNetwork()
    assert sum(parameter.numel() for parameter in network.parameters()) == 5_257_536
    names = network.state_dict()
    assert {"cnet.layer2.0.norm3.running_var", "cnet.layer2.0.downsample.1.running_var"} <= names.keys()
    assert names["update_block.gru.convq2.weight"].shape == (128, 384, 5, 1)
    assert not any("fnet" in name and "norm" in name for name in names)


def test_published_names_load_with_and_without_the_prefix_of_data_parallel(tmp_path, fill):
    state = fill(RAFTNetwork()).state_dict()
    for prefix in ("module.", ""):
        path = tmp_path / f"raft{prefix}pth"
        torch.save({prefix + name: value for name, value in state.items()}, path.with_suffix(".pth"))
        loaded = load(path.with_suffix(".pth")).state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in state.items())


def test_a_file_of_another_network_is_refused_with_the_difference(tmp_path):
    state = {f"module.{name}": value for name, value in RAFTNetwork().state_dict().items()}
    state["module.update_block.flow_head.conv3.weight"] = state.pop("module.update_block.flow_head.conv2.weight")
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"1 missing \(update_block.flow_head.conv2.weight\).*conv3"):
        load(tmp_path / "other.pth")


def test_pictures_smaller_than_its_pyramid_get_a_flow(fill):
    with torch.inference_mode():
        flow = fill(RAFTNetwork())(torch.zeros(2, 3, 24, 30), torch.zeros(2, 3, 24, 30), iterations=1)
    assert flow.shape == (2, 2, 24, 30)
    assert torch.isfinite(flow).all()


def test_in_bf16_it_gives_nearly_the_same_flow(fill):
    before, after = 255 * torch.rand(2, 1, 3, 64, 72, generator=torch.Generator().manual_seed(2))
    network = fill(RAFTNetwork())
    with torch.inference_mode():
        exact = network(before, after, iterations=2)
        rough = network.bfloat16()(before, after, iterations=2)
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()
