// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package roster

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type item struct{ namespace, name string }

func (i *item) GetNamespace() string { return i.namespace }
func (i *item) GetName() string      { return i.name }

func names(list []*item) []string {
	got := []string{}
	for _, i := range list {
		got = append(got, i.namespace+"/"+i.name)
	}
	return got
}

// random returns a list some of whose objects are those of the last one.
func random(r *rand.Rand, last []*item) []*item {
	var next []*item
	for _, namespace := range []string{"a", "a-b", "b"} {
		for n := range 12 {
			before := Find(last, namespace, strconv.Itoa(n))
			switch r.IntN(4) {
			case 0: // gone
			case 1:
				next = append(next, &item{namespace, strconv.Itoa(n)})
			default:
				if before != nil {
					next = append(next, before)
				}
			}
		}
	}
	slices.SortFunc(next, Compare)
	return next
}

func TestAListAndWhatDiffersMakeTheNextList(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var list []*item
	for range 500 {
		next := random(r, list)
		was := slices.Clone(list)
		got := Patch(list, Diff(list, next))
		if !slices.Equal(got, next) {
			t.Fatalf("from %v to %v: got %v", names(list), names(next), names(got))
		}
		if !slices.Equal(list, was) {
			t.Fatal("the list itself was changed")
		}
		list = next
	}
}

func TestAPartOfAListFollowsTheWhole(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	member := map[*item]bool{}
	keep := func(i *item) bool {
		if _, known := member[i]; !known {
			member[i] = r.IntN(2) == 0
		}
		return member[i]
	}
	var list, part []*item
	for range 500 {
		next := random(r, list)
		part = Patch(part, Only(Diff(list, next), keep))
		want := slices.DeleteFunc(slices.Clone(next), func(i *item) bool { return !keep(i) })
		if diff := cmp.Diff(names(want), names(part)); diff != "" || !slices.Equal(want, part) {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		list = next
	}
}

func TestAListThatDidNotChangeStaysTheSame(t *testing.T) {
	list := []*item{{"a", "1"}, {"a", "2"}}
	if got := Patch(list, Diff(list, slices.Clone(list))); !Same(got, list) {
		t.Error("it was copied")
	}
	if Same(list, slices.Clone(list)) {
		t.Error("a copy passes for the list")
	}
}
