package proxy

import "container/list"

// recent is a map of bounded size that knows which entry was used longest ago.
// It is not safe for concurrent use.
type recent[K comparable, V any] struct {
	size  int
	at    map[K]*list.Element
	order list.List // of *entry[K, V], the latest in front
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func newRecent[K comparable, V any](size int) *recent[K, V] {
	return &recent[K, V]{size: max(size, 1), at: make(map[K]*list.Element)}
}

// get finds an entry, which is the latest then.
func (r *recent[K, V]) get(k K) (v V, ok bool) {
	e := r.at[k]
	if e == nil {
		return v, false
	}
	r.order.MoveToFront(e)
	return e.Value.(*entry[K, V]).value, true
}

// put adds or replaces an entry. If there are too many then, the oldest is
// taken out and returned.
func (r *recent[K, V]) put(k K, v V) (old V, evicted bool) {
	if e := r.at[k]; e != nil {
		e.Value.(*entry[K, V]).value = v
		r.order.MoveToFront(e)
		return old, false
	}
	r.at[k] = r.order.PushFront(&entry[K, V]{k, v})
	if r.order.Len() <= r.size {
		return old, false
	}
	last := r.order.Remove(r.order.Back()).(*entry[K, V])
	delete(r.at, last.key)
	return last.value, true
}

// remove takes an entry out, if there is one.
func (r *recent[K, V]) remove(k K) {
	if e := r.at[k]; e != nil {
		r.order.Remove(e)
		delete(r.at, k)
	}
}

func (r *recent[K, V]) len() int { return r.order.Len() }

// each calls f for every entry.
func (r *recent[K, V]) each(f func(V)) {
	for e := r.order.Front(); e != nil; e = e.Next() {
		f(e.Value.(*entry[K, V]).value)
	}
}
