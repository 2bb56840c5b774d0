"""Dataflows compared by energy under the same area: the study of ISCA 2016, sections IV to VII."""

from golden.dataflows import (
    no_local_reuse,
    output_stationary_a,
    output_stationary_b,
    output_stationary_c,
    row_stationary,
    weight_stationary,
)

DATAFLOWS = (
    row_stationary.DATAFLOW,
    weight_stationary.DATAFLOW,
    output_stationary_a.DATAFLOW,
    output_stationary_b.DATAFLOW,
    output_stationary_c.DATAFLOW,
    no_local_reuse.DATAFLOW,
)
