"""The student network: timm backbone, head, pretrained weights, normalisation of pixels."""
