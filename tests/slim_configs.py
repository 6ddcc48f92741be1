"""Model configs cut down so that a step takes a second."""

WIDTHS = {
    'in_channels',
    'out_channels',
    'channels',
    'feature_channels',
    'hidden_channels',
    'location_channels',
    'conv_out_channels',
    'fc_out_channels',
    'feat_channels',
    'num_contexts',
}
OF_ONE_WIDTH = {'EfficientNetLite', 'TimmFeatures'}  # backbones whose channels stay
DEPTHS = {'num_convs', 'stacked_convs', 'coordinates'}  # of these, how many layers see them


def slim(node) -> None:
    """Cut a model config down so that a step takes a second: an eighth of the channels, fewer layers."""
    if isinstance(node, dict):
        channels = (node.get('neck') or {}).get('in_channels')
        if node.get('type') in ('ResNet', 'ResNeXt', 'ResNetDCNInterval'):
            node.update(init_cfg=None, depth=min(node['depth'], 50), base_channels=8, stem_channels=8)
            if 'groups' in node:
                node['groups'] //= 8
        if node.get('type') == 'SwinTransformer':
            node.update(embed_dims=12, depths=[1] * 4)
        if node.get('type') == 'mmpretrain.ConvNeXt':  # ConvNeXt-T, whose channels are divided below
            node['arch'] = dict(depths=[1] * 4, channels=[96, 192, 384, 768])
        if node.get('type') == 'MultiLevelGlobalContext':  # its defaults
            for key, value in dict(channels=256, num_contexts=(256, 192, 128, 64)).items():
                node.setdefault(key, value)
        for key, value in node.items():
            if key in DEPTHS:
                node[key] = min(value, 2)
            elif key in WIDTHS and value is not None:
                several = isinstance(value, list | tuple)
                node[key] = [x // 8 for x in value] if several else min(value, max(32, value // 8))
            slim(value)
        if (node.get('backbone') or {}).get('type') in OF_ONE_WIDTH:
            node['neck']['in_channels'] = channels
    elif isinstance(node, list | tuple):
        for value in node:
            slim(value)


def few_classes(node) -> None:
    """Cut a model config's 80 classes down to 4: untrained, every class of every place is a candidate."""
    if isinstance(node, dict):
        if node.get('num_classes') == 80:
            node['num_classes'] = 4
        node = node.values()
    if not isinstance(node, str | int | float | bool | None):
        for value in node:
            few_classes(value)
