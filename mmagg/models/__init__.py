"""The networks in the order of MMDetection: layers, losses, backbones, targets; masks, necks, postprocess; heads."""
