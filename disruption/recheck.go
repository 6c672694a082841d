// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption/drain"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// Recheck says why a Disruption is no longer right, nil while it is. It asks the same rules as Decide, those first that will not
// change their mind; once nodes were touched, those that only would have waited are not asked any more. Machines that are already
// gone or being deleted are not asked about then.
func Recheck(in Input, d *v1alpha1.Disruption) (*Kept, error) {
	at := slices.IndexFunc(reasons(), func(r reason) bool { return r.name == d.Spec.Reason })
	if at < 0 {
		return &Kept{VPSieNode: d.Spec.Remove[0].VPSieNode, Rule: RuleReasonUnknown, Message: fmt.Sprintf("is to go for reason %q, which this version does not decide about", d.Spec.Reason)}, nil
	}
	reason := reasons()[at]
	p, err := newPass(in, d)
	if err != nil {
		return nil, err
	}
	defer p.whatIf.close()
	next := proposal{launch: d.Spec.Launch}
	for _, removal := range d.Spec.Remove {
		m, no := p.find(removal, d.Spec.NodeGroup)
		if no == nil {
			next.remove = append(next.remove, m)
			continue
		}
		if !Started(d.Status.Phase) || m.VPSieNode != nil && m.VPSieNode.DeletionTimestamp.IsZero() {
			return no, nil
		}
	}
	if len(next.remove) == 0 {
		return nil, nil
	}
	if no, err := p.asked(reason, next, permanent); no != nil || err != nil || Started(d.Status.Phase) {
		return no, err
	}
	return p.asked(reason, next, Rule.Temporary)
}

// find returns the machine that the removal means. A namesake is not it, and neither is one that is being deleted.
func (p *pass) find(removal v1alpha1.Removal, group string) (state.Machine, *Kept) {
	m, found := p.Picture.Machine(removal.VPSieNode)
	switch {
	case !found || string(m.VPSieNode.UID) != removal.UID:
		return state.Machine{}, &Kept{VPSieNode: removal.VPSieNode, Rule: RuleGone, Message: "is gone"}
	case m.VPSieNode.Spec.NodeGroup != group:
		return m, &Kept{VPSieNode: removal.VPSieNode, Rule: RuleGone, Message: fmt.Sprintf("is not of NodeGroup %q", group)}
	case !m.VPSieNode.DeletionTimestamp.IsZero():
		return m, &Kept{VPSieNode: removal.VPSieNode, Rule: RuleLeaving, Message: "is being deleted"}
	case removal.Node != "" && m.Node != nil && m.Node.Name != removal.Node:
		return m, &Kept{VPSieNode: removal.VPSieNode, Rule: RuleGone, Message: fmt.Sprintf("is no longer node %q", removal.Node)}
	}
	return m, nil
}

func (p *pass) asked(r reason, next proposal, wanted func(Rule) bool) (*Kept, error) {
	for _, m := range next.remove {
		if no := p.kept(r, m, wanted); no != nil {
			return no, nil
		}
	}
	return p.refused(r, next, wanted)
}

// Recheck asks about a Disruption on a picture in which everything that it could hurt was just read from the API server.
func (r *Reconciler) Recheck(ctx context.Context, d *v1alpha1.Disruption) (*Kept, error) {
	picture, err := r.cluster.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking at the cluster again: %w", err)
	}
	if err := r.refresh(ctx, picture, d); err != nil {
		return nil, fmt.Errorf("reading again what Disruption %q is about: %w", d.Name, err)
	}
	kept, err := Recheck(r.input(picture, r.clock.Now()), d)
	if err != nil {
		return nil, fmt.Errorf("checking Disruption %q again: %w", d.Name, err)
	}
	return kept, nil
}

// refresh replaces what the watches may show too late: all Disruptions and VPSieNodes, the NodeGroups, and the leaving Nodes with
// their pods. A pod that was bound a moment ago must not be lost with its machine.
func (r *Reconciler) refresh(ctx context.Context, picture *state.Picture, d *v1alpha1.Disruption) error {
	var disruptions v1alpha1.DisruptionList
	var groups v1alpha1.NodeGroupList
	var machines v1alpha1.VPSieNodeList
	for _, list := range []client.ObjectList{&disruptions, &groups, &machines} {
		if err := r.reader.List(ctx, list); err != nil {
			return fmt.Errorf("listing %T: %w", list, err)
		}
	}
	picture.Disruptions, picture.NodeGroups = pointers(disruptions.Items), pointers(groups.Items)
	before := picture.Machines
	picture.Machines = nil
	for _, vn := range pointers(machines.Items) {
		fresh := state.Machine{VPSieNode: vn}
		at, found := slices.BinarySearchFunc(before, vn.Name, func(m state.Machine, name string) int { return cmp.Compare(m.VPSieNode.Name, name) })
		if found && before[at].VPSieNode.UID == vn.UID {
			fresh.Node, fresh.Pods = before[at].Node, before[at].Pods
		}
		picture.Machines = append(picture.Machines, fresh)
	}
	slices.SortFunc(picture.Machines, func(a, b state.Machine) int { return cmp.Compare(a.VPSieNode.Name, b.VPSieNode.Name) })
	for _, removal := range d.Spec.Remove {
		for i := range picture.Machines {
			if m := &picture.Machines[i]; m.VPSieNode.Name == removal.VPSieNode {
				if err := r.refreshNode(ctx, m); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (r *Reconciler) refreshNode(ctx context.Context, m *state.Machine) error {
	name := state.NodeName(m.VPSieNode)
	m.Node, m.Pods = nil, nil
	if name == "" {
		return nil
	}
	var node corev1.Node
	if err := r.reader.Get(ctx, client.ObjectKey{Name: name}, &node); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("reading node %q: %w", name, err)
	}
	var pods corev1.PodList
	if err := r.reader.List(ctx, &pods, client.MatchingFields{drain.NodeNameField: name}); err != nil {
		return fmt.Errorf("listing the pods of node %q: %w", name, err)
	}
	m.Node = &node
	for _, pod := range pointers(pods.Items) {
		if pod.Spec.NodeName == name && !state.Terminated(pod) {
			m.Pods = append(m.Pods, pod)
		}
	}
	return nil
}

func pointers[T any](items []T) []*T {
	result := make([]*T, 0, len(items))
	for i := range items {
		result = append(result, &items[i])
	}
	return result
}
