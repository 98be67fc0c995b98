# What stands in for the weights of a product, for each module that includes this.
#
# `_floats` and `_float32` are that module's: where the numbers of an array are, and a number as a
# float.


cdef object _take_read_array(_core.LineParams* lines, object array, object weights):
    """Tell the kernels how an array is read (`rpupy.rpu_base.sliced`); return what is multiplied by."""
    lines.charge_unit = _float32(array.charge_unit)
    if hasattr(array, "weights"):
        lines.slice_offset = _floats(array.offset)
        return array.weights
    lines.ladder.segments = array.segments
    lines.ladder.per_segment = array.per_segment
    lines.ladder.front = array.front
    lines.ladder.timed = array.timed
    lines.ladder.wire = _float32(array.wire)
    lines.ladder.leak = _float32(array.leak)
    lines.ladder.offset = _float32(array.slice_offset)
    lines.ladder.noise = _float32(array.noise)
    lines.ladder.per_microsiemens = _float32(array.per_microsiemens)
    return weights
