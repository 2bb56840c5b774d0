"""Shapes of the published networks, with random weights that are made when they are first read.

Sources: AlexNet: Krizhevsky et al., 2012, as Caffe's reference model has it, without LRN. VGG-16: Simonyan, Zisserman,
2015, configuration D. GoogLeNet: Szegedy et al., 2015, table 1, without LRN and auxiliary classifiers. ResNet-50: He et
al., 2016, table 1, with the stride in the 3 x 3 convolutions (version 1.5). MobileNetV1: Howard et al., 2017, table 1.
ResNet-8: MLPerf Tiny, image classification (Banbury et al., 2021).
"""

from __future__ import annotations

from compiler.graph import Network
from compiler.zoo_builder import Builder
from golden.operators import Padding


def alexnet() -> Network:
    """Return AlexNet as in Caffe: 227 x 227, grouped conv2, conv4 and conv5, 1000 classes."""
    net = Builder("alexnet", (227, 227, 3))
    net.conv("conv1", 96, 11, stride=4, pad=0)
    net.maximum("pool1", 3, 2, gain=1.7)
    net.conv("conv2", 256, 5, pad=2, groups=2)
    net.maximum("pool2", 3, 2, gain=1.7)
    net.conv("conv3", 384, 3, pad=1)
    net.conv("conv4", 384, 3, pad=1, groups=2)
    net.conv("conv5", 256, 3, pad=1, groups=2)
    net.maximum("pool5", 3, 2, gain=1.7)
    net.fc("fc6", 4096, relu=True)
    net.fc("fc7", 4096, relu=True)
    net.fc("fc8", 1000)
    return net.network()


def vgg16() -> Network:
    """Return VGG-16: 224 x 224, 1000 classes."""
    net = Builder("vgg16", (224, 224, 3))
    blocks = [(2, 64, 1.6), (2, 128, 1.4), (3, 256, 1.2), (3, 512, 1.15), (3, 512, 1.15)]
    for block, (count, m, gain) in enumerate(blocks, start=1):
        for number in range(1, count + 1):
            net.conv(f"conv{block}_{number}", m, 3, pad=1)
        net.maximum(f"pool{block}", 2, 2, gain=gain)
    net.fc("fc6", 4096, relu=True)
    net.fc("fc7", 4096, relu=True)
    net.fc("fc8", 1000)
    return net.network()


#: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
_INCEPTIONS: dict[str, tuple[int, int, int, int, int, int]] = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
_ROUNDED_UP: Padding = (0, 1, 0, 1)  # what makes a 3 x 3 pool with stride 2 round its size up


def googlenet() -> Network:
    """Return GoogLeNet (Inception v1): 224 x 224, 1000 classes."""
    net = Builder("googlenet", (224, 224, 3))
    net.conv("conv1", 64, 7, stride=2, pad=3)
    net.maximum("pool1", 3, 2, _ROUNDED_UP, gain=2.0)
    net.conv("conv2_reduce", 64, 1)
    net.conv("conv2", 192, 3)
    net.maximum("pool2", 3, 2, _ROUNDED_UP, gain=1.4)
    for block, widths in _INCEPTIONS.items():
        _inception(net, f"inception_{block}", widths)
        if block in ("3b", "4e"):
            net.maximum(f"pool{block[0]}", 3, 2, _ROUNDED_UP)
    net.average("pool5")
    net.fc("fc", 1000)
    return net.network()


def _inception(net: Builder, name: str, widths: tuple[int, int, int, int, int, int]) -> None:
    one, three_reduce, three, five_reduce, five, projection = widths
    source = net.last
    branches = [net.conv(f"{name}_1x1", one, 1, source=source)]
    net.conv(f"{name}_3x3_reduce", three_reduce, 1, source=source)
    branches.append(net.conv(f"{name}_3x3", three, 3))
    net.conv(f"{name}_5x5_reduce", five_reduce, 1, source=source)
    branches.append(net.conv(f"{name}_5x5", five, 5))
    net.maximum(f"{name}_pool", 3, 1, (1, 1, 1, 1), source=source)
    branches.append(net.conv(f"{name}_pool_proj", projection, 1))
    net.concat(name, tuple(branches))


def resnet50() -> Network:
    """Return ResNet-50, version 1.5: 224 x 224, 1000 classes."""
    net = Builder("resnet50", (224, 224, 3))
    net.conv("conv1", 64, 7, stride=2, pad=3)
    net.maximum("pool1", 3, 2, (1, 1, 1, 1), gain=2.0)
    for stage, (count, width) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)], start=2):
        for number in range(1, count + 1):
            stride = 2 if number == 1 and stage > 2 else 1
            _bottleneck(net, f"conv{stage}_{number}", width, stride=stride, projected=number == 1)
    net.average("pool5")
    net.fc("fc", 1000)
    return net.network()


def _bottleneck(net: Builder, name: str, width: int, *, stride: int, projected: bool) -> None:
    source = net.last
    shortcut = source
    if projected:
        shortcut = net.conv(f"{name}s", 4 * width, 1, stride=stride, pad=0, relu=False)
    net.conv(f"{name}a", width, 1, source=source)
    net.conv(f"{name}b", width, 3, stride=stride, pad=1)
    main = net.conv(f"{name}c", 4 * width, 1, relu=False)
    net.add(name, main, shortcut)


_MOBILENET = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]


def mobilenet_v1() -> Network:
    """Return MobileNetV1 1.0/224: 1000 classes."""
    return _mobilenet("mobilenet_v1", 1.0, 224, 1000)


def mobilenet_v1_025() -> Network:
    """Return MobileNetV1 0.25/96: 2 classes, as in MLPerf Tiny's visual wake words."""
    return _mobilenet("mobilenet_v1_025", 0.25, 96, 2)


def _mobilenet(name: str, width: float, size: int, classes: int) -> Network:
    net = Builder(name, (size, size, 3))
    net.conv("conv1", int(32 * width), 3, stride=2)
    for number, (m, stride) in enumerate(_MOBILENET, start=1):
        net.depthwise(f"dw{number}", stride=stride)
        net.conv(f"pw{number}", int(m * width), 1)
    net.average("pool")
    net.fc("fc", classes)
    return net.network()


def resnet8() -> Network:
    """Return MLPerf Tiny's ResNet-8: 32 x 32, 10 classes."""
    net = Builder("resnet8", (32, 32, 3))
    net.conv("conv1", 16, 3)
    for stage, m in enumerate((16, 32, 64), start=1):
        source = shortcut = net.last
        stride = 1 if stage == 1 else 2
        if stage > 1:
            shortcut = net.conv(f"conv{stage + 1}s", m, 1, stride=2, relu=False)
        net.conv(f"conv{stage + 1}a", m, 3, stride=stride, source=source)
        main = net.conv(f"conv{stage + 1}b", m, 3, relu=False)
        net.add(f"conv{stage + 1}", main, shortcut)
    net.average("pool")
    net.fc("fc", 10)
    return net.network()
