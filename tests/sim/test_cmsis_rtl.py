"""CMSIS-NN's operator vectors on the machine."""

import pytest

from compiler.graph import Network, NetworkError, Quantisation, Weighted
from compiler.mapper import Mapper
from compiler.program import compile_network
from hw.config import preset
from sim.run import Task, run_tasks
from tests import cmsis_nn

#: Vectors that the golden model computes and the machine does not yet, with the reason.
NOT_YET = {
    name: "dilation"
    for name in (
        *("conv_2x2_dilation", "conv_2x3_dilation", "conv_3x3_dilation_5x5_input", "conv_dilation_golden"),
        *("depthwise_dilation", "grouped_conv_4"),
    )
}


def network_of(name, vector):
    layer = vector.layer
    zero_point = layer.input_zero_point if isinstance(layer, Weighted) else 0
    return Network(
        name=name,
        input_shape=layer.input_shape,
        input_quantisation=Quantisation(zero_point=zero_point),
        layers=(layer,),
    )


@pytest.mark.shared
def test_vectors_on_rtl(tmp_path):
    config = preset("small")
    mapper, tasks = Mapper(config=config), []
    names = [name for name in cmsis_nn.SUPPORTED if name not in NOT_YET]
    for name in names:
        vector = cmsis_nn.read(name)
        program = compile_network(network_of(name, vector), config, batch=len(vector.ifmap), mapper=mapper)
        expected = vector.ofmap.reshape(len(vector.ifmap), *vector.layer.output_shape)
        tasks.append(Task(program, (vector.ifmap,), (expected,)))
    outcomes = run_tasks(config, tasks, work=tmp_path)
    failures = {name: outcome.differences() for name, outcome in zip(names, outcomes, strict=True) if not outcome.equal}
    assert not failures


@pytest.mark.shared
@pytest.mark.parametrize("name", NOT_YET)
def test_what_the_machine_does_not_run_is_refused(name):
    vector = cmsis_nn.read(name)
    with pytest.raises(NetworkError, match=f"{NOT_YET[name]} of layer .* must be .* on this machine"):
        compile_network(network_of(name, vector), preset("small"), batch=len(vector.ifmap))
