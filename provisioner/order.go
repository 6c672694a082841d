// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/samber/lo"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// order is one VPSieNode to create.
type order struct {
	name   string
	launch scheduling.Launch
	group  *v1alpha1.NodeGroup
	reason v1alpha1.CreationReason
	plan   string // the same for machines whose Nodes open together; empty for one alone
}

// ordersOf names the machines of a plan. The name follows from the pods that the machine is for, so that the same plan made twice
// asks for the same object and the second creation is refused.
func ordersOf(plan scheduling.Plan, picture *state.Picture) []order {
	taken := names(picture)
	var orders []order
	for _, launch := range plan.Launches {
		reason := v1alpha1.CreatedForHeadroom
		var keys []string
		for _, pod := range launch.Pods {
			if scheduling.IsHeadroom(pod) {
				keys = append(keys, pod.String())
				continue
			}
			reason = v1alpha1.CreatedForPods
			if p := picture.Pod(pod); p != nil {
				keys = append(keys, string(p.UID))
			}
		}
		slices.Sort(keys)
		orders = append(orders, order{
			name: freeName(launch.Group, keys, taken), launch: launch, reason: reason, group: picture.NodeGroup(launch.Group),
		})
	}
	bind(orders)
	return orders
}

// bind marks the machines that pods wait for as one plan.
func bind(orders []order) {
	wanted := lo.Filter(orders, func(o order, _ int) bool { return o.reason == v1alpha1.CreatedForPods })
	if len(wanted) < 2 {
		return
	}
	plan := digest(strings.Join(lo.Map(wanted, func(o order, _ int) string { return o.name }), "\n"))
	for i := range orders {
		if orders[i].reason == v1alpha1.CreatedForPods {
			orders[i].plan = plan
		}
	}
}

// digest returns the first eight hexadecimal digits of the text's SHA-256.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}

// minNodes orders the cheapest machine as often as a pool has fewer machines than it must.
func minNodes(picture *state.Picture, groups []scheduling.Group, offerings []scheduling.Offering, planned []order) []order {
	taken := names(picture)
	for _, o := range planned {
		taken[o.name] = true
	}
	var orders []order
	for _, group := range groups {
		ng := group.NodeGroup
		if ng.Spec.MinNodes == nil {
			continue
		}
		have := lasting(picture, ng.Name)
		for _, o := range planned {
			if o.launch.Group == ng.Name {
				have++
				group = group.With(o.launch.Offerings[0])
			}
		}
		eligible, _ := scheduling.EligibleOfferings(ng, offerings)
		for ; have < int(*ng.Spec.MinNodes); have++ {
			choices, _ := group.Choices(eligible) // the NodeGroup's conditions say why there are none
			if len(choices) == 0 {
				break
			}
			launch := scheduling.Launch{
				Group: ng.Name, Offerings: choices,
				Why: fmt.Sprintf("node group %q must have at least %d nodes; %s is the cheapest at %s per hour", ng.Name, *ng.Spec.MinNodes, choices[0].Name, choices[0].Price),
			}
			group = group.With(choices[0])
			name := freeName(ng.Name, []string{"min-nodes"}, taken)
			orders = append(orders, order{name: name, launch: launch, group: ng, reason: v1alpha1.CreatedForMinNodes})
		}
	}
	return orders
}

// lasting counts the machines of a pool that are not failed and not leaving.
func lasting(picture *state.Picture, group string) int {
	return lo.CountBy(picture.Machines, func(m state.Machine) bool {
		return m.VPSieNode.Spec.NodeGroup == group && state.Owned(m.VPSieNode) && m.VPSieNode.DeletionTimestamp.IsZero()
	})
}

func names(picture *state.Picture) map[string]bool {
	return lo.SliceToMap(picture.Machines, func(m state.Machine) (string, bool) { return m.VPSieNode.Name, true })
}

// freeName returns group-xxxxxxxx, where x is a hash of the keys and of the number of machines that were made for the same keys
// and still exist: the first of them may have failed.
func freeName(group string, keys []string, taken map[string]bool) string {
	for attempt := 0; ; attempt++ {
		name := group + "-" + digest(fmt.Sprintf("%s\n%d\n%s", group, attempt, strings.Join(keys, "\n")))
		if !taken[name] {
			taken[name] = true
			return name
		}
	}
}

// maxNamedPods bounds the annotation that lists what a machine is for: no kubelet is asked to run more, and all annotations of an object
// together may take 256 KiB.
const maxNamedPods = 500

// create writes the VPSieNode. The finalizer is there from the start: nothing may be ordered for an object that could
// vanish.
func (p *Provisioner) create(ctx context.Context, o order) error {
	vn := &v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{
			Name: o.name,
			Labels: map[string]string{
				v1alpha1.ManagedLabel:   v1alpha1.ManagedValue,
				v1alpha1.NodeGroupLabel: o.group.Name,
			},
			Annotations: map[string]string{
				v1alpha1.CreationReasonAnnotation: string(o.reason),
				v1alpha1.WhyAnnotation:            o.launch.Why,
			},
			Finalizers:      []string{v1alpha1.VPSieNodeFinalizer},
			OwnerReferences: []metav1.OwnerReference{owner(o.group)},
		},
		Spec: scheduling.NodeSpec(o.group, o.launch, o.reason),
	}
	if pods := realPods(o.launch.Pods); len(pods) > 0 {
		vn.Annotations[v1alpha1.PodsAnnotation] = strings.Join(pods[:min(len(pods), maxNamedPods)], ",")
	}
	if o.plan != "" {
		vn.Annotations[v1alpha1.PlanAnnotation] = o.plan
	}
	err := p.kube.Create(ctx, vn)
	known := apierrors.IsAlreadyExists(err)
	if err != nil && !known {
		return fmt.Errorf("creating VPSieNode %q: %w", o.name, err)
	}
	// One that is there already was made by an earlier plan for the same pods, and the watches do not show it: with one pod more, the next plan
	// would give it another name.
	p.expected[o.name] = p.options.Clock.Now()
	if known {
		return nil
	}
	p.metrics.launched(o.reason)
	log.FromContext(ctx).Info("created VPSieNode", "vpsieNode", klog.KObj(vn), "offering", o.launch.Offerings[0].Name,
		"pricePerHour", o.launch.Offerings[0].Price.String(), "why", o.launch.Why)
	return nil
}

func owner(ng *v1alpha1.NodeGroup) metav1.OwnerReference {
	ref := *metav1.NewControllerRef(ng, v1alpha1.GroupVersion.WithKind("NodeGroup"))
	ref.BlockOwnerDeletion = nil
	return ref
}

func realPods(pods []types.NamespacedName) []string {
	result := lo.FilterMap(pods, func(pod types.NamespacedName, _ int) (string, bool) { return pod.String(), !scheduling.IsHeadroom(pod) })
	slices.Sort(result)
	return result
}

// expectations are VPSieNodes that were created and that the watches have not shown yet.
type expectations map[string]time.Time

// patience is how long the watches may be behind before planning goes on without them: the object was deleted meanwhile.
const patience = 30 * time.Second

func (e expectations) outstanding(picture *state.Picture, now time.Time) bool {
	for name, created := range e {
		if _, found := picture.Machine(name); found || now.Sub(created) > patience {
			delete(e, name)
		}
	}
	return len(e) > 0
}
