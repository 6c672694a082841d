// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot/roster"
)

// object is a pointer to an object of the API.
type object interface {
	comparable
	client.Object
}

// A list is compared with all of the store at least so often, whatever the events said.
const compareEvery = 10 * time.Minute

// source keeps the list of one kind, by namespace and name, at the cost of what changes. Events only say which names to look at; what is
// there comes from the store, so no order of events can lead astray. An event that has not come yet would be missed where the Picture is
// asked for because of that event: a source that has not heard of the store's resource version compares the list with all of the store.
type source[T object] struct {
	store toolscache.Store

	mu     sync.Mutex // the informer writes what follows
	marked map[string]struct{}
	heard  string // the resource version of the last event
	many   bool   // so many are marked that comparing is cheaper, and no more are

	list     []T
	known    map[T]struct{} // of list
	agreed   string         // the store's resource version when list was compared with it
	compared time.Time
	way      way // of the last refresh
}

func newSource[T object](informer Informer) (*source[T], error) {
	stored, ok := informer.(interface{ GetStore() toolscache.Store })
	if !ok {
		return nil, fmt.Errorf("a %T shows no store", informer)
	}
	s := &source[T]{store: stored.GetStore(), marked: map[string]struct{}{}, known: map[T]struct{}{}, many: true}
	_, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: s.mark, UpdateFunc: func(_, object any) { s.mark(object) }, DeleteFunc: s.mark,
	})
	return s, err
}

func (s *source[T]) mark(object any) {
	key, err := toolscache.DeletionHandlingMetaNamespaceKeyFunc(object)
	if err != nil {
		return // no object
	}
	if last, gone := object.(toolscache.DeletedFinalStateUnknown); gone {
		object = last.Obj
	}
	version := ""
	if about, err := meta.Accessor(object); err == nil {
		version = about.GetResourceVersion()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = version
	if s.many {
		return
	}
	s.marked[key] = struct{}{}
	if len(s.marked) > 1024+len(s.list)/8 { // a replica that does not lead takes no Pictures
		s.marked, s.many = map[string]struct{}{}, true
	}
}

// refresh returns the list as the store has it now.
func (s *source[T]) refresh(now time.Time) []T {
	s.mu.Lock()
	marked, heard, many := s.marked, s.heard, s.many
	s.marked, s.many = map[string]struct{}{}, false
	s.mu.Unlock()
	version := s.store.LastStoreSyncResourceVersion()
	complete := version != "" && (version == heard || version == s.agreed)
	if complete && !many && now.Sub(s.compared) < compareEvery {
		s.apply(s.changed(marked))
		s.way = byEvents
	} else {
		s.apply(s.differing())
		s.agreed, s.compared, s.way = version, now, byComparison
	}
	return s.list
}

// changed looks up what became of the marked names.
func (s *source[T]) changed(marked map[string]struct{}) []roster.Change[T] {
	var none T
	var changes []roster.Change[T]
	for key := range marked {
		namespace, name, err := toolscache.SplitMetaNamespaceKey(key)
		if err != nil {
			continue // no object has it
		}
		change := roster.Change[T]{Before: roster.Find(s.list, namespace, name)}
		if stored, is, _ := s.store.GetByKey(key); is {
			change.After, _ = stored.(T)
		}
		if change.Before != none || change.After != none {
			changes = append(changes, change)
		}
	}
	slices.SortFunc(changes, func(a, b roster.Change[T]) int { return roster.Compare(a.Any(), b.Any()) })
	return changes
}

// differing compares the list with all of the store.
func (s *source[T]) differing() []roster.Change[T] {
	var fresh, gone []T
	stored := s.store.List()
	there := make(map[T]struct{}, len(stored))
	for _, each := range stored {
		object, ok := each.(T)
		if !ok {
			continue
		}
		there[object] = struct{}{}
		if _, known := s.known[object]; !known {
			fresh = append(fresh, object)
		}
	}
	for _, object := range s.list {
		if _, still := there[object]; !still {
			gone = append(gone, object)
		}
	}
	slices.SortFunc(fresh, roster.Compare)
	return roster.Diff(gone, fresh)
}

func (s *source[T]) apply(changes []roster.Change[T]) {
	var none T
	s.mu.Lock()
	defer s.mu.Unlock()
	changes = slices.DeleteFunc(changes, func(c roster.Change[T]) bool { return c.Before == c.After })
	for _, change := range changes {
		if change.Before != none {
			delete(s.known, change.Before)
		}
		if change.After != none {
			s.known[change.After] = struct{}{}
		}
	}
	s.list = roster.Patch(s.list, changes)
}
