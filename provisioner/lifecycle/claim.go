// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// The cloud does not say which order a new machine answers. Orders of one size are therefore interchangeable: machines
// that belong to nobody are given to the VPSieNodes that wait for that size, in a total order, and nobody ever gives one back.

type claimant struct {
	uid   types.UID
	name  string
	until time.Time // its VPSieNode was removed by force, and the machine is held back until then; zero: it is there
}

// patience is how long after an order a machine may be the answer to it.
func (o Options) patience(state v1alpha1.OrderState) time.Duration {
	if state == v1alpha1.OrderAccepted {
		return o.LaunchTimeout + o.FailedTTL
	}
	return o.LaunchTimeout
}

// claims remembers what this process has given out, because the objects it reads may not show it yet.
type claims struct {
	mu   sync.Mutex
	held map[string]claimant // by instance identifier
}

// claim returns the machine that belongs to vn, empty while there is none. A machine that the list lacks just now is given out like any other, so that
// nobody takes another's instead of it, but not held: it may have gone.
func (c *claims) claim(vn *v1alpha1.VPSieNode, all []v1alpha1.VPSieNode, inventory cloudprovider.Inventory, hidden []cloudprovider.Instance, nodes joined) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := owners(all)
	maps.Copy(taken, c.held)
	for id, holder := range taken {
		if holder.uid == vn.UID {
			return id
		}
	}
	waiting := slices.DeleteFunc(slices.Clone(all), func(n v1alpha1.VPSieNode) bool {
		return n.UID == vn.UID || holds(taken, n.UID)
	})
	known := cloudprovider.Inventory{Instances: slices.Concat(inventory.Instances, hidden)}
	id := assign(append(waiting, *vn), taken, known, nodes)[vn.UID]
	if _, listed := inventory.Find(id); !listed {
		return ""
	}
	c.held[id] = claimant{uid: vn.UID, name: vn.Name}
	return id
}

func (c *claims) release(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, holder := range c.held {
		if holder.uid == uid {
			delete(c.held, id)
		}
	}
}

// orphan gives up, at a time, what a VPSieNode held that was removed by force. Not at once: its machine is no answer to the orders that are open,
// and is not among those that they know.
func (c *claims) orphan(uid types.UID, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, holder := range c.held {
		if holder.uid == uid {
			holder.until = until
			c.held[id] = holder
		}
	}
}

// expire gives up what is due.
func (c *claims) expire(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.held, func(_ string, holder claimant) bool { return !holder.until.IsZero() && now.After(holder.until) })
}

func holds(taken map[string]claimant, uid types.UID) bool {
	for _, holder := range taken {
		if holder.uid == uid {
			return true
		}
	}
	return false
}

// owners returns who holds which machine according to the objects.
func owners(all []v1alpha1.VPSieNode) map[string]claimant {
	taken := map[string]claimant{}
	for i := range all {
		if id := all[i].Status.InstanceID; id != "" {
			taken[id] = claimant{uid: all[i].UID, name: all[i].Name}
		}
	}
	return taken
}

// assign gives each machine that belongs to nobody to the first VPSieNode that may have ordered it. Those whose order was accepted come
// before those whose order may not have been sent, and those before the failed and the deleted: these only need to be told what to
// release.
func assign(all []v1alpha1.VPSieNode, taken map[string]claimant, inventory cloudprovider.Inventory, nodes joined) map[types.UID]string {
	waiting := slices.DeleteFunc(slices.Clone(all), func(n v1alpha1.VPSieNode) bool {
		return n.Status.Order == nil || n.Status.InstanceID != ""
	})
	slices.SortFunc(waiting, func(a, b v1alpha1.VPSieNode) int {
		return cmp.Or(
			cmp.Compare(urgency(a), urgency(b)),
			a.Status.Order.Time.Compare(b.Status.Order.Time.Time),
			cmp.Compare(a.Name, b.Name),
		)
	})
	given := map[types.UID]string{}
	for _, instance := range rarestFirst(waiting, taken, inventory, nodes) {
		for _, n := range waiting {
			if given[n.UID] == "" && mayBe(n, instance, nodes) {
				given[n.UID] = instance.ID
				break
			}
		}
	}
	return given
}

// rarestFirst returns the machines that belong to nobody, those first that the fewest may have ordered. An order knows the machines that
// were there before it: were an old machine passed over, those who may have ordered it would take newer ones, and it would stay nobody's
// while the last order waits for ever.
func rarestFirst(waiting []v1alpha1.VPSieNode, taken map[string]claimant, inventory cloudprovider.Inventory, nodes joined) []cloudprovider.Instance {
	var free []cloudprovider.Instance
	mayHave := map[string]int{}
	for _, instance := range inventory.Instances {
		if _, ok := taken[instance.ID]; ok {
			continue
		}
		free = append(free, instance)
		for _, n := range waiting {
			if mayBe(n, instance, nodes) {
				mayHave[instance.ID]++
			}
		}
	}
	slices.SortStableFunc(free, func(a, b cloudprovider.Instance) int { return cmp.Compare(mayHave[a.ID], mayHave[b.ID]) })
	return free
}

func urgency(n v1alpha1.VPSieNode) int {
	switch {
	case !n.DeletionTimestamp.IsZero() || n.Status.Phase == v1alpha1.PhaseFailed:
		return 2
	case n.Status.Order.State == v1alpha1.OrderAccepted:
		return 0
	default:
		return 1
	}
}

// mayBe says whether the machine may be the answer to the order of n: it has the size, it was not there before, as far as anybody can tell, and no
// Node says that it is another's.
func mayBe(n v1alpha1.VPSieNode, instance cloudprovider.Instance, nodes joined) bool {
	return instance.Matches(n.Status.Order.Offering) && !slices.Contains(n.Status.Order.Seen, instance.ID) && !nodes.rulesOut(n, instance)
}

// strangers returns the machines that belong to no VPSieNode: none of them can be the answer to an order yet to be sent.
func strangers(all []v1alpha1.VPSieNode, inventory cloudprovider.Inventory) []string {
	taken := owners(all)
	var ids []string
	for _, instance := range inventory.Instances {
		if _, ok := taken[instance.ID]; !ok {
			ids = append(ids, instance.ID)
		}
	}
	return ids
}

// alsoSeen adds machines that were listed of late and belong to no VPSieNode to those that an order knows, as far as the record has room: the list
// that the record was written from may have been short.
func alsoSeen(seen []string, all []v1alpha1.VPSieNode, remembered []string) []string {
	taken := owners(all)
	known := sets.New(seen...)
	for _, id := range remembered {
		if _, ok := taken[id]; ok || known.Has(id) || len(seen) >= maxSeen {
			continue
		}
		seen = append(seen, id)
	}
	return seen
}

// sendings remembers which order records were written by this process and not yet sent. A record without a memory was written
// before a restart, and nobody knows whether it was sent.
type sendings struct {
	mu      sync.Mutex
	pending map[types.UID][]time.Time // of records; several when a write was refused because the copy was stale
	taken   map[types.UID]bool        // in the reconciliation that is going on
}

func (s *sendings) prepare(uid types.UID, record time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending == nil {
		s.pending = map[types.UID][]time.Time{}
	}
	s.pending[uid] = append(s.pending[uid], record)
}

// waits says whether the order of that record was written down by this process and is still to be sent.
func (s *sendings) waits(uid types.UID, record time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.pending[uid], record.Equal)
}

// take says whether the order of that record may be sent, once.
func (s *sendings) take(uid types.UID, record time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	prepared := slices.ContainsFunc(s.pending[uid], record.Equal)
	delete(s.pending, uid)
	if prepared {
		if s.taken == nil {
			s.taken = map[types.UID]bool{}
		}
		s.taken[uid] = true
	}
	return prepared
}

func (s *sendings) forget(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, uid)
	delete(s.taken, uid)
}

// justTaken says, once, whether the reconciliation that is going on took a record, and so knows what became of it.
func (s *sendings) justTaken(uid types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.taken[uid]
	delete(s.taken, uid)
	return taken
}
