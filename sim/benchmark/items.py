"""What ``eyas bench`` measures: networks and layers, the figures they must reach, and what stands beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from compiler.networks import network
from compiler.weighted import Conv
from hw.config import AcceleratorConfig, preset


@dataclass(frozen=True, kw_only=True)
class Item:
    """One line of the benchmark.

    Parameters
    ----------
    name : str
        What the command line and files call it.
    title : str
        What the document calls it.
    network : str
        Built-in network or text of a layer.
    part : str
        ``"whole"``: the network; ``"conv"`` or ``"depthwise"``: these layers only, each with an input of its own.
    split : bool
        Whether each of these layers is a program of its own, so that an interrupted run resumes at the next layer.
    batch : int
        N.
    config : str
        Preset.
    changes : mapping of str to object
        Fields that differ from the preset.
    rtl : bool
        Whether it runs on RTL; otherwise the cost model alone answers.
    least_utilisation : float, optional
        Utilisation from start to interrupt that must be reached.
    most_dram_mb : float, optional
        DRAM traffic in 10^6 bytes that must not be exceeded.
    most_glb_accesses : int, optional
        Global-buffer accesses by execute that must not be exceeded.
    most_depthwise : float, optional
        For each depthwise layer: cycles over what binds, which must not be exceeded.
    nngen_cycles : int, optional
        Cycles that NNgen 1.3.4 with 144 multipliers took for the same layer, measured.
    per_layer : bool
        Whether the document has a table of its layers.
    """

    name: str
    title: str
    network: str
    part: str = "whole"
    split: bool = False
    batch: int = 1
    config: str = "eyeriss"
    changes: Mapping[str, object] = field(default_factory=dict)
    rtl: bool = True
    least_utilisation: float | None = None
    most_dram_mb: float | None = None
    most_glb_accesses: int | None = None
    most_depthwise: float | None = None
    nngen_cycles: int | None = None
    per_layer: bool = False

    @property
    def machine(self) -> AcceleratorConfig:
        """The machine it runs on."""
        config = preset(self.config).with_fields(self.changes)
        return config.with_fields({"name": f"{config.name}-{config.rows}x{config.cols}"}) if self.changes else config


@dataclass(frozen=True)
class Step:
    """A program of an item, the unit that is run again or not; ``layers`` is empty for a whole network."""

    item: Item
    name: str
    layers: tuple[str, ...]
    macs: int

    @property
    def least_cycles(self) -> float:
        """Cycles with every PE at work, to guess how long it takes."""
        return self.macs / self.item.machine.pes


def steps_of(item: Item) -> list[Step]:
    """Return the programs of an item, in order."""
    net = network(item.network)
    if item.part == "whole":
        return [Step(item, "whole", (), item.batch * net.macs)]
    layers = [layer for layer in net.layers if isinstance(layer, Conv)]
    if item.part == "depthwise":
        layers = [layer for layer in layers if layer.groups == layer.input_shape[2]]
    if item.split:
        return [Step(item, layer.name, (layer.name,), item.batch * layer.macs) for layer in layers]
    names, macs = tuple(layer.name for layer in layers), sum(layer.macs for layer in layers)
    return [Step(item, item.part, names, item.batch * macs)]


_SQUARE_ARRAY = {"cols": 12}

#: Short ones first.
ITEMS: tuple[Item, ...] = (
    Item(
        name="layer_16",
        title="one layer, 3x3, 16 -> 16 channels, 32 x 32, on 12 x 12 PEs",
        network="conv:C=16,M=16,H=32,W=32,R=3,S=3,pad=1",
        changes=_SQUARE_ARRAY,
        least_utilisation=0.90,
        nngen_cycles=18_969,
    ),
    Item(
        name="layer_64",
        title="one layer, 3x3, 64 -> 64 channels, 16 x 16, on 12 x 12 PEs",
        network="conv:C=64,M=64,H=16,W=16,R=3,S=3,pad=1",
        changes=_SQUARE_ARRAY,
        least_utilisation=0.93,
        nngen_cycles=81_073,
    ),
    Item(name="resnet8", title="ResNet-8, whole", network="resnet8", least_utilisation=0.85),
    Item(name="mobilenet_v1_025", title="MobileNetV1 0.25/96, whole", network="mobilenet_v1_025"),
    Item(
        name="mobilenet_v1",
        title="MobileNetV1 1.0/224, whole",
        network="mobilenet_v1",
        least_utilisation=0.75,
        most_dram_mb=17,
        most_depthwise=1.1,
        per_layer=True,
    ),
    Item(
        name="mobilenet_v1_depthwise",
        title="MobileNetV1 1.0/224, each depthwise layer alone",
        network="mobilenet_v1",
        part="depthwise",
        split=True,
        per_layer=True,
    ),
    Item(name="alexnet_b1", title="AlexNet CONV", network="alexnet", part="conv", least_utilisation=0.94),
    Item(
        name="alexnet_b4",
        title="AlexNet CONV",
        network="alexnet",
        part="conv",
        batch=4,
        least_utilisation=0.95,
        most_dram_mb=13.5,
        most_glb_accesses=48_000_000,
        per_layer=True,
    ),
    Item(name="alexnet_whole", title="AlexNet, whole", network="alexnet"),
    Item(name="googlenet", title="GoogLeNet, whole", network="googlenet"),
    Item(name="resnet50", title="ResNet-50, whole", network="resnet50", least_utilisation=0.92, most_dram_mb=66),
    Item(
        name="vgg16_b3",
        title="VGG-16 CONV",
        network="vgg16",
        part="conv",
        split=True,
        batch=3,
        rtl=False,
        most_dram_mb=225,
        per_layer=True,
    ),
    Item(
        name="vgg16_b1",
        title="VGG-16 CONV",
        network="vgg16",
        part="conv",
        split=True,
        least_utilisation=0.98,
        per_layer=True,
    ),
)
