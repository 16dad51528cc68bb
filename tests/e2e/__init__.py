"""End to end: our images in pods of a true node, installed by helm. The cluster ends with this package."""
