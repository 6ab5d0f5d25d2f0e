"""Sound alone: how it pleases (PQ, PC, CE, CU), and how far sets of sounds are from the true ones (FD, FAD, KL)."""
