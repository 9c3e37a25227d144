package compare

// order watches the records of each key while a partition of B is read.
type order struct {
	partition int32
	newest    map[sequence]reached
}

// sequence is what has an order: the records of a key in a partition of A, and
// in the partition of B that is being read.
type sequence struct {
	key       uint64
	partition int32
}

// reached is the pair whose record of A lies furthest ahead, by offsets.
type reached struct{ a, b int64 }

// see takes the next pair of first copies. overtaken is true when a record that
// in A comes later came earlier in B: which one, ahead says.
func (o *order) see(key uint64, a, b Place) (ahead reached, overtaken bool) {
	if o.newest == nil || o.partition != b.Partition {
		// No key's order goes over partitions.
		o.partition, o.newest = b.Partition, make(map[sequence]reached)
	}
	s := sequence{key, a.Partition}
	if before, ok := o.newest[s]; ok && before.a > a.Offset {
		return before, true
	}
	o.newest[s] = reached{a.Offset, b.Offset}
	return reached{}, false
}
