# Arguments of kernels that each backend packs alike, for each module that includes this.
#
# `_floats` and `_float32` are that module's: where the numbers of an array are, NULL for None,
# and a number as a float.


cdef int _take_planes(_core.PopulateArgs* args, key, cnp.ndarray pulsed, cnp.ndarray own, tuple cell, tuple upkeep,
                      uint32_t plane) except -1:
    """Fill in whose parameters are drawn, with which key, and where they go."""
    cdef int k
    args.tile.key[0] = key[0]
    args.tile.key[1] = key[1]
    args.tile.plane = plane
    args.pulsed = <const float*> cnp.PyArray_DATA(pulsed)
    args.own = <const float*> cnp.PyArray_DATA(own)
    for k in range(len(cell)):
        args.cell[k] = _floats(cell[k])
    for k in range(len(upkeep)):
        args.upkeep[k] = _floats(upkeep[k])
        args.upkeep_stride[k] = 0 if upkeep[k].ndim == 0 else 1
    return 0


cdef cnp.ndarray _compound_nodes(list nodes, cnp.ndarray counters):
    """The nodes of a compound as the kernels want them, in an array that owns the memory."""
    cdef cnp.ndarray memory = np.zeros(max(1, len(nodes)) * sizeof(_core.CompoundNode), dtype=np.uint8)
    cdef _core.CompoundNode* node = <_core.CompoundNode*> cnp.PyArray_DATA(memory)
    cdef int64_t* counts = <int64_t*> cnp.PyArray_DATA(counters)
    cdef int index, k
    cdef dict has
    cdef tuple cell
    for index in range(len(nodes)):
        has = nodes[index]
        node.kind = has["kind"]
        node.first_child = has.get("first_child", 0)
        node.children = has.get("children", 0)
        node.number = has["number"]
        node.weights = _floats(has["weights"])
        node.granularity = _float32(has["granularity"])
        node.states = _float32(has["states"])
        node.counters = counts + index * _core.kNodeCounters
        node.gamma = _float32(has["gamma"])
        node.every = _float32(has["every"])
        node.rate = _float32(has["rate"])
        if "device" in has:
            node.device = has["device"]
            cell = has["cell"]
            node.update.weights = _floats(has["true_weights"])
            node.update.apparent = _floats(has["apparent"])
            node.update.write_noise = _float32(has["write_noise"])
            node.update.dw_min_std = _float32(has["dw_min_std"])
            node.update.pulse_ordinals = <uint32_t*> _floats(has["pulse_ordinals"])
            node.update.pulse_counters = <int64_t*> _floats(has["pulse_counters"])
            node.update.own = _floats(has["own"])
            for k in range(len(cell)):
                node.update.cell[k] = _floats(cell[k])
            node.reset_bias = _floats(has["reset_bias"])
            node.reset_stride = 0 if has["reset_bias"].ndim == 0 else 1
            node.reset_std = _float32(has["reset_std"])
            node.nominal_max = _float32(has["nominal_max"])
        node.params = _floats(has.get("params"))
        node.read_io = _floats(has.get("read_io"))
        node.reads_are_local = has.get("reads_are_local", 0)
        lines = has.get("lines", {})
        node.read_lines.out_noise_values = _floats(lines.get("out_noise_values"))
        node.read_lines.out_nonlinearity = _floats(lines.get("out_nonlinearity"))
        node.read_lines.v_offset = _floats(lines.get("v_offset"))
        node.read_lines.out_nonlinearity_factor = lines.get("out_nonlinearity_factor", 1.0)
        node.read_lines.w_asymmetry = _floats(lines.get("w_asymmetry"))
        node.write_update = _floats(has.get("write_update"))
        node.hides_nothing = has.get("hides_nothing", 0)
        node.buffer = _floats(has.get("buffer"))
        node.mean = _floats(has.get("mean"))
        node.past_mean = _floats(has.get("past_mean"))
        node.variance = _floats(has.get("variance"))
        node.past_variance = _floats(has.get("past_variance"))
        node.running = _floats(has.get("running"))
        node.sparsity = _floats(has.get("sparsity"))
        node.zeros = _floats(has.get("zeros"))
        node.in_chopper = <unsigned char*> _floats(has.get("in_chopper"))
        node.out_chopper = <unsigned char*> _floats(has.get("out_chopper"))
        node.switched = <unsigned char*> _floats(has.get("switched"))
        node.events = node.update.tally = <int64_t*> cnp.PyArray_DATA(<cnp.ndarray> has["events"])
        node += 1
    return memory


cdef int _move_on(tuple counter, int64_t events) except -1:
    """Add events to a counter, given as a dict and its name there; None counts nothing.

    A kernel and its counter are one step for the interpreter: it looks for signals, such as an
    interrupt by Ctrl-C, when a line of Python runs, and none does in here.
    """
    if counter is not None:
        (<dict> counter[0])[counter[1]] += events
    return 0


cdef int _move_nodes_on(tuple counter, list names, cnp.ndarray counters) except -1:
    """Take over the counters of all nodes into the same dict, row after row, in the same way."""
    if names is not None:
        (<dict> counter[0]).update(zip(names, (<object> counters).ravel().tolist()))
    return 0


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
