// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package watch makes informers that a test feeds by hand: their stores change at once, and their events come when the test delivers
// them. It can also be read like a client. It never talks to anything. Only _test.go files import it.
package watch

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Cluster has an informer for each kind. It may be used by several goroutines.
type Cluster struct {
	mu      sync.Mutex
	kinds   map[reflect.Type]*informer
	version int
	lacks   map[reflect.Type]bool
	pending []func()
	hangs   bool
}

// New returns a Cluster without objects.
func New() *Cluster {
	return &Cluster{kinds: map[reflect.Type]*informer{}, lacks: map[reflect.Type]bool{}}
}

// Without makes the kind unknown to the API server.
func (c *Cluster) Without(kind client.Object) { c.lacks[reflect.TypeOf(kind)] = true }

// Hang makes the informers never catch up with the API server.
func (c *Cluster) Hang() { c.hangs = true }

type informer struct {
	toolscache.SharedIndexInformer // nil: what is not overridden must not be asked
	cluster                        *Cluster
	store                          toolscache.Indexer
	handlers                       []toolscache.ResourceEventHandler
}

func (i *informer) GetStore() toolscache.Store { return i.store }

func (i *informer) HasSynced() bool { return !i.cluster.hangs }

func (i *informer) AddEventHandler(handler toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	i.cluster.mu.Lock()
	defer i.cluster.mu.Unlock()
	i.handlers = append(i.handlers, handler)
	for _, object := range i.store.List() {
		i.cluster.pending = append(i.cluster.pending, func() { handler.OnAdd(object, true) })
	}
	return nil, nil //nolint:nilnil // nobody asks it anything
}

// GetInformer returns the informer of the object's kind.
func (c *Cluster) GetInformer(_ context.Context, object client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lacks[reflect.TypeOf(object)] {
		return nil, &meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: fmt.Sprintf("%T", object)}}
	}
	return c.of(object), nil
}

func (c *Cluster) of(object any) *informer {
	kind := reflect.TypeOf(object)
	if c.kinds[kind] == nil {
		c.kinds[kind] = &informer{cluster: c, store: toolscache.NewIndexer(toolscache.MetaNamespaceKeyFunc, nil)}
	}
	return c.kinds[kind]
}

// Set adds or replaces an object, with the next resource version. The store has it at once, and the event waits. The caller must not change
// the object any more.
func (c *Cluster) Set(object client.Object) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	object.SetResourceVersion(strconv.Itoa(c.version))
	i := c.of(object)
	before, had, err := i.store.Get(object)
	if err := errors.Join(err, i.store.Update(object)); err != nil {
		return err
	}
	for _, handler := range i.handlers {
		if had {
			c.pending = append(c.pending, func() { handler.OnUpdate(before, object) })
		} else {
			c.pending = append(c.pending, func() { handler.OnAdd(object, false) })
		}
	}
	return nil
}

// Delete takes an object out of the store. The event waits.
func (c *Cluster) Delete(object client.Object) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	last, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("a copy of a %T is none", object)
	}
	last.SetResourceVersion(strconv.Itoa(c.version))
	i := c.of(object)
	if err := i.store.Delete(last); err != nil {
		return err
	}
	for _, handler := range i.handlers {
		c.pending = append(c.pending, func() { handler.OnDelete(last) })
	}
	return nil
}

// Deliver lets the oldest waiting events happen, so many at most.
func (c *Cluster) Deliver(most int) {
	c.mu.Lock()
	due := c.pending[:min(most, len(c.pending))]
	c.pending = c.pending[len(due):]
	c.mu.Unlock()
	for _, event := range due {
		event()
	}
}

// Lose forgets the waiting events.
func (c *Cluster) Lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = nil
}

// Get is refused: what a test is about reads lists.
func (c *Cluster) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errors.New("getting one object from a watch.Cluster")
}

// List reads a kind from its store, like a manager's client does when it need not copy.
func (c *Cluster) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	items, err := meta.GetItemsPtr(list)
	if err != nil {
		return err
	}
	example := reflect.New(reflect.TypeOf(items).Elem().Elem()).Interface()
	c.mu.Lock()
	stored := c.of(example).store.List()
	c.mu.Unlock()
	objects := make([]runtime.Object, 0, len(stored))
	for _, each := range stored {
		if object, ok := each.(runtime.Object); ok {
			objects = append(objects, object)
		}
	}
	return meta.SetList(list, objects)
}
