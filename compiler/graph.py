"""The layer graph, framework-neutral: the one form that importers make and the mapper takes. Import it from here."""

from compiler.combining import Add, Concat, addition_scales
from compiler.layers import Layer, NetworkError, Pool, Shape
from compiler.synthetic import parse_layer
from compiler.topology import Network, Quantisation
from compiler.weighted import Conv, FullyConnected, Weighted, deferred

__all__ = [
    "Add",
    "Concat",
    "Conv",
    "FullyConnected",
    "Layer",
    "Network",
    "NetworkError",
    "Pool",
    "Quantisation",
    "Shape",
    "Weighted",
    "addition_scales",
    "deferred",
    "parse_layer",
]
