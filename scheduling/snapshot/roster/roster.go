// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package roster turns two lists of objects by namespace and name into what differs between them, and a list and what differs
// into the next list. A list is never changed in place: whoever has one keeps it. It never looks into an object: one that
// changed is another one.
package roster

import (
	"cmp"
	"slices"
)

// Object is a pointer to something that has a namespace and a name.
type Object interface {
	comparable
	GetNamespace() string
	GetName() string
}

// Change is what became of one name. Before or After is nil where there was or is nothing of that name.
type Change[T Object] struct{ Before, After T }

// Any returns the object after the change, and where there is none the one before.
func (c Change[T]) Any() T {
	var none T
	if c.After != none {
		return c.After
	}
	return c.Before
}

// Compare orders objects by namespace, then name.
func Compare[T Object](a, b T) int {
	return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
}

// Find returns the object of that name in a list, nil where there is none.
func Find[T Object](list []T, namespace, name string) (object T) {
	at, found := slices.BinarySearchFunc(list, name, func(o T, name string) int {
		return cmp.Or(cmp.Compare(o.GetNamespace(), namespace), cmp.Compare(o.GetName(), name))
	})
	if found {
		object = list[at]
	}
	return object
}

// Diff returns what differs between two lists. Where they have the same objects it looks at the pointers only.
func Diff[T Object](before, after []T) []Change[T] {
	if Same(before, after) {
		return nil
	}
	var changes []Change[T]
	b, a := 0, 0
	for b < len(before) && a < len(after) {
		if before[b] == after[a] {
			b, a = b+1, a+1
			continue
		}
		switch order := Compare(before[b], after[a]); {
		case order < 0:
			changes = append(changes, Change[T]{Before: before[b]})
			b++
		case order > 0:
			changes = append(changes, Change[T]{After: after[a]})
			a++
		default:
			changes = append(changes, Change[T]{before[b], after[a]})
			b, a = b+1, a+1
		}
	}
	for ; b < len(before); b++ {
		changes = append(changes, Change[T]{Before: before[b]})
	}
	for ; a < len(after); a++ {
		changes = append(changes, Change[T]{After: after[a]})
	}
	return changes
}

// Same says whether two lists are one and the same, and so need not be compared.
func Same[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// Patch returns the list after the changes, which are in order. Without changes that is the list itself.
func Patch[T Object](list []T, changes []Change[T]) []T {
	if len(changes) == 0 {
		return list
	}
	var none T
	next, from := make([]T, 0, len(list)+len(changes)), 0
	for _, change := range changes {
		at, found := slices.BinarySearchFunc(list[from:], change.Any(), Compare)
		next = append(next, list[from:from+at]...)
		from += at
		if found {
			from++
		}
		if change.After != none {
			next = append(next, change.After)
		}
	}
	return append(next, list[from:]...)
}

// Only returns the changes as a list sees them that holds nothing but what keep says.
func Only[T Object](changes []Change[T], keep func(T) bool) []Change[T] {
	var none T
	var only []Change[T]
	for _, change := range changes {
		if change.Before != none && !keep(change.Before) {
			change.Before = none
		}
		if change.After != none && !keep(change.After) {
			change.After = none
		}
		if change.Before != none || change.After != none {
			only = append(only, change)
		}
	}
	return only
}
