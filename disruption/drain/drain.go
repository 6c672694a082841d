// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package drain turns a Node that has to go into a Node without workload pods: tainted, its pods evicted through the
// eviction API in order, its volumes detached. It is the only drain of the project. It never touches a pod of another
// node, never overrides a pod's own grace period, and never waits inside a call.
package drain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// NodeNameField is the field by which pods are read. The API server knows it; a cache needs an index of that name.
const NodeNameField = "spec.nodeName"

const (
	// pollAfter is when to look again at pods that are on their way out.
	pollAfter = 2 * time.Second
	// refusedAfter is when to ask again after a PodDisruptionBudget said no.
	refusedAfter = 5 * time.Second
	// settle is how long the taint must have been there before an empty node is believed: a pod that the scheduler bound
	// without having seen the taint would be lost with the machine.
	settle = 5 * time.Second
	// stuckAfter is how long after its grace period a terminating pod is waited for: no kubelet will confirm its end any more.
	stuckAfter = time.Minute
	// mostWaiting is how many pods Progress names.
	mostWaiting = 10
)

// Drainer drains Nodes.
type Drainer struct {
	kube    client.Client
	reader  client.Reader
	clock   clock.PassiveClock
	metrics *metrics
}

// Options are what a Drainer can do without. The zero value is right for production, without metrics.
type Options struct {
	Clock      clock.PassiveClock
	Registerer prometheus.Registerer
}

// New returns a Drainer that writes through kube and reads Nodes and their pods through reader, which must not be a cache: a pod
// that a cache does not show yet would be lost.
func New(kube client.Client, reader client.Reader, o Options) *Drainer {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Drainer{kube: kube, reader: reader, clock: o.Clock, metrics: newMetrics(o.Registerer)}
}

// Progress is how far a drain has come.
type Progress struct {
	Done       bool          // nothing that would be lost is left on the node
	Waiting    []string      // "namespace/name: reason" for up to 10 pods or volumes that are still there, sorted
	RetryAfter time.Duration // when the next pass is worth it; 0 when done
}

// Drain makes one pass over the node and returns at once: it ensures the taint, asks for the eviction of the pods whose turn it is
// and tells what is still there. Pods that are not critical go first. A pod that must not be disrupted stays until the deadline;
// after it, pods are deleted with their own grace period. The zero deadline is none. A Node that is gone is drained.
func (d *Drainer) Drain(ctx context.Context, node *corev1.Node, deadline time.Time) (Progress, error) {
	current, err := d.ensureTaint(ctx, node)
	if err != nil {
		return Progress{}, err
	}
	if current == nil {
		return Progress{Done: true}, nil
	}
	pods, err := d.podsOn(ctx, node.Name)
	if err != nil {
		return Progress{}, err
	}
	now := d.clock.Now()
	p := &pass{
		Drainer: d,
		now:     now,
		late:    !deadline.IsZero() && !now.Before(deadline),
	}
	tainted := taintedAt(current)
	for _, pod := range pods {
		switch {
		case stuck(pod, now) || !Workload(pod):
			p.staying = append(p.staying, pod)
		case returned(pod, tainted):
			p.staying = append(p.staying, pod)
		default:
			p.leaving = append(p.leaving, pod)
		}
	}
	return p.run(ctx, current, tainted)
}

// pass is one pass over one node.
type pass struct {
	*Drainer
	now     time.Time
	late    bool          // the deadline is over
	leaving []*corev1.Pod // have to go
	staying []*corev1.Pod // end with the machine
	waiting []string
	retry   time.Duration
}

func (p *pass) run(ctx context.Context, node *corev1.Node, tainted time.Time) (Progress, error) {
	if len(p.leaving) > 0 {
		err := p.evictInOrder(ctx)
		return p.progress(), err
	}
	if !p.late {
		attached, err := p.attachedVolumes(ctx, node.Name, p.staying)
		if err != nil {
			return Progress{}, err
		}
		for _, volume := range attached {
			p.wait(volume+": volume is still attached", pollAfter)
		}
	}
	if rest := settle - p.now.Sub(tainted); rest > 0 {
		p.wait(node.Name+": the scheduler may not have seen the taint yet", rest)
	}
	if len(p.waiting) > 0 {
		return p.progress(), nil
	}
	return Progress{Done: true}, nil
}

// evictInOrder asks for the pods of the lowest rank to go; the others wait for their turn. After the deadline it is everybody's.
func (p *pass) evictInOrder(ctx context.Context) error {
	slices.SortFunc(p.leaving, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	var errs []error
	turn := rank(p.leaving[0])
	for _, pod := range p.leaving {
		name := pod.Namespace + "/" + pod.Name
		switch {
		case pod.DeletionTimestamp != nil:
			p.wait(name+": is terminating", pollAfter)
		case p.late:
			errs = append(errs, p.remove(ctx, pod))
		case rank(pod) > turn:
			p.wait(name+": is critical and goes after the others", pollAfter)
		default:
			errs = append(errs, p.evict(ctx, pod))
		}
	}
	return errors.Join(errs...)
}

func (p *pass) wait(what string, retry time.Duration) {
	p.waiting = append(p.waiting, what)
	if p.retry == 0 || retry < p.retry {
		p.retry = retry
	}
}

func (p *pass) progress() Progress {
	slices.Sort(p.waiting)
	if len(p.waiting) == 0 { // every pod was found gone: look again to be sure
		p.retry = pollAfter
	}
	return Progress{Waiting: p.waiting[:min(len(p.waiting), mostWaiting)], RetryAfter: p.retry}
}

// podsOn returns the pods that are bound to the node, terminated ones left out.
func (d *Drainer) podsOn(ctx context.Context, node string) ([]*corev1.Pod, error) {
	var list corev1.PodList
	if err := d.reader.List(ctx, &list, client.MatchingFields{NodeNameField: node}); err != nil {
		return nil, fmt.Errorf("listing the pods of node %q: %w", node, err)
	}
	var pods []*corev1.Pod
	for i := range list.Items {
		pod := &list.Items[i]
		// The reader was asked for this node only. Should it ever ignore that, no stranger's pod may be evicted.
		if pod.Spec.NodeName == node && !terminated(pod) {
			pods = append(pods, pod)
		}
	}
	return pods, nil
}
