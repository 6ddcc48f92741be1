"""AggMask's aggregation for the small SOLOv2 models: two layers, their parameters of 1 x 1 convolutions, without tanh.

With three layers, the first steps of a small data set drove the net to masks of all pixels, where nothing was learnt.
"""

_base_ = './aggmask_lite0.py'

aggregator = dict(num_layers=2, parameters=dict(kernel_size=1, activation='none'))
