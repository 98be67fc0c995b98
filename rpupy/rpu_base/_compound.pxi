# The nodes of a compound as kernels take them, for each module that includes this.
#
# `_floats` and `_float32` are that module's: where the numbers of an array are, NULL for None,
# and a number as a float.


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
