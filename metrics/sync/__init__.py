"""SyncNet (Chung and Zisserman, "Out of time: automated lip sync in the wild", 2016): Sync-C, Sync-D and offset."""

from metrics.sync.metric import SyncNetMetric
from metrics.sync.network import SyncNet

__all__ = ["SyncNet", "SyncNetMetric"]
