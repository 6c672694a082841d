// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/samber/lo"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/informers/core"
	"k8s.io/client-go/informers/internalinterfaces"
	"k8s.io/client-go/informers/policy"
	"k8s.io/client-go/informers/storage"
	"k8s.io/client-go/tools/cache"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// shelf is an informer that never runs, with all objects of a kind in its indexer. They are put there when somebody first reads one: most
// pods have no volumes, and of a large cluster indexing those of others takes longer than the plan.
type shelf struct {
	cache.SharedIndexInformer

	indexer *filled
}

func (s *shelf) GetIndexer() cache.Indexer { return s.indexer }
func (s *shelf) GetStore() cache.Store     { return s.indexer }

func (s *shelf) AddIndexers(indexers cache.Indexers) error { return s.indexer.AddIndexers(indexers) }

// filled is an indexer that is filled before the first read. It is for any number of goroutines.
type filled struct {
	cache.Indexer

	fill   func() []any
	once   sync.Once
	adding sync.Mutex
}

func (f *filled) read() cache.Indexer {
	f.once.Do(func() {
		for _, object := range f.fill() {
			if err := f.Add(object); err != nil {
				panic(fmt.Sprintf("simulate: indexing a %T: %v", object, err)) // it has no metadata: it is none of Kubernetes' objects
			}
		}
	})
	return f.Indexer
}

// AddIndexers adds those that another engine has not added yet.
func (f *filled) AddIndexers(indexers cache.Indexers) error {
	f.adding.Lock()
	defer f.adding.Unlock()
	known := f.GetIndexers()
	return f.Indexer.AddIndexers(lo.OmitBy(indexers, func(name string, _ cache.IndexFunc) bool { return known[name] != nil }))
}

func (f *filled) List() []any        { return f.read().List() }
func (f *filled) ListKeys() []string { return f.read().ListKeys() }

func (f *filled) Get(object any) (any, bool, error)            { return f.read().Get(object) }
func (f *filled) GetByKey(key string) (any, bool, error)       { return f.read().GetByKey(key) }
func (f *filled) Index(name string, object any) ([]any, error) { return f.read().Index(name, object) }
func (f *filled) ByIndex(name, value string) ([]any, error)    { return f.read().ByIndex(name, value) }
func (f *filled) IndexKeys(name, value string) ([]string, error) {
	return f.read().IndexKeys(name, value)
}
func (f *filled) ListIndexFuncValues(name string) []string { return f.read().ListIndexFuncValues(name) }

// library is a factory of informers that never run. What it has a shelf for is on that.
type library struct {
	informers.SharedInformerFactory

	shelves map[reflect.Type]*shelf
}

func newLibrary() *library {
	return &library{informers.NewSharedInformerFactory(nil, 0), map[reflect.Type]*shelf{}}
}

// InformerFor is what all informers of a kind of object come from.
func (l *library) InformerFor(kind runtime.Object, otherwise internalinterfaces.NewInformerFunc) cache.SharedIndexInformer {
	if shelf, known := l.shelves[reflect.TypeOf(kind)]; known {
		return shelf
	}
	return l.SharedInformerFactory.InformerFor(kind, otherwise)
}

func (l *library) Core() core.Interface       { return core.New(l, metav1.NamespaceAll, nil) }
func (l *library) Storage() storage.Interface { return storage.New(l, metav1.NamespaceAll, nil) }
func (l *library) Policy() policy.Interface   { return policy.New(l, metav1.NamespaceAll, nil) }

// stock gives the library a shelf. Engines of one cluster share what is on it as long as the list is the same.
func stock[T runtime.Object](l *library, snap *snapshot.Snapshot, kind T, objects []T) {
	l.put(kind, snapshot.Keep(snap, fmt.Sprintf("simulate: %T", kind), objects, func() *filled {
		return newFilled(func() []T { return objects })
	}))
}

func (l *library) put(kind runtime.Object, indexer *filled) {
	l.shelves[reflect.TypeOf(kind)] = &shelf{cache.NewSharedIndexInformer(nil, kind, 0, cache.Indexers{}), indexer}
}

func newFilled[T any](objects func() []T) *filled {
	return &filled{
		Indexer: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}),
		fill:    func() []any { return lo.ToAnySlice(objects()) },
	}
}
