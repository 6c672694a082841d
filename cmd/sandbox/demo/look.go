// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

// books are what the simulated VPSie knows of orders and money.
type books interface {
	Ledger(ctx context.Context) (ledger.Report, error)
}

// look reads everything that the account speaks of. It asks only what any user of the cluster could ask.
func look(ctx context.Context, kube client.Client, vpsie books) (scene, error) {
	var (
		pods        corev1.PodList
		nodes       corev1.NodeList
		events      eventsv1.EventList
		groups      v1alpha1.NodeGroupList
		machines    v1alpha1.VPSieNodeList
		disruptions v1alpha1.DisruptionList
	)
	// Events before machines: whatever machine an event names is then in the list.
	for _, list := range []client.ObjectList{&events, &pods, &nodes, &groups, &machines, &disruptions} {
		if err := kube.List(ctx, list, scope(list)...); err != nil {
			return scene{}, fmt.Errorf("listing %T: %w", list, err)
		}
	}
	report, err := vpsie.Ledger(ctx)
	if err != nil {
		return scene{}, err
	}
	s := scene{Books: report, Hindrance: hindrance(groups.Items)}
	for i := range nodes.Items {
		s.Nodes = append(s.Nodes, nodeOf(&nodes.Items[i]))
	}
	for i := range machines.Items {
		m := machineOf(&machines.Items[i])
		_, m.Joined = find(s.Nodes, func(n node) bool { return m.Host != "" && strings.EqualFold(n.Name, m.Host) })
		order, _ := s.order(m.Host)
		m.Returned = !order.DeleteRequestedAt.IsZero()
		m.Leaving = m.Leaving || m.Returned // the books are read last
		s.Machines = append(s.Machines, m)
	}
	said := lastWords(events.Items)
	for i := range pods.Items {
		s.Pods = append(s.Pods, podOf(&pods.Items[i], said, s.Machines))
	}
	for i := range disruptions.Items {
		s.Decisions = append(s.Decisions, decisionOf(&disruptions.Items[i]))
	}
	s.sort()
	return s, nil
}

// scope is the shop, for what lives in a namespace.
func scope(list client.ObjectList) []client.ListOption {
	switch list.(type) {
	case *corev1.PodList, *eventsv1.EventList:
		return []client.ListOption{client.InNamespace(shop)}
	default:
		return nil
	}
}

func (s scene) sort() {
	slices.SortFunc(s.Pods, func(a, b pod) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Machines, func(a, b machine) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Nodes, func(a, b node) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Decisions, func(a, b decision) int { return cmp.Compare(a.Name, b.Name) })
}

// hindrance is why a pool cannot be used. Growth that a limit stops is no hindrance as long as everything fits.
func hindrance(groups []v1alpha1.NodeGroup) string {
	for i := range groups {
		for _, kind := range []string{v1alpha1.ConditionManaged, v1alpha1.ConditionCloudReady, v1alpha1.ConditionOfferingsFound} {
			c := meta.FindStatusCondition(groups[i].Status.Conditions, kind)
			if c != nil && c.Status == metav1.ConditionFalse {
				return fmt.Sprintf("%s is not %s: %s", groups[i].Name, kind, c.Message)
			}
		}
	}
	return ""
}

func nodeOf(n *corev1.Node) node {
	return node{
		Name: n.Name, Machine: n.Labels[v1alpha1.VPSieNodeLabel],
		CPU: n.Status.Allocatable.Cpu().MilliValue(), Memory: n.Status.Allocatable.Memory().Value(),
	}
}

func machineOf(vn *v1alpha1.VPSieNode) machine {
	choice := chosen(vn)
	m := machine{
		Name: vn.Name, Offering: cmp.Or(vn.Status.Offering, choice.Name),
		Price: amount(string(cmp.Or(vn.Status.PricePerHour, choice.PricePerHour))),
		CPU:   choice.Capacity.Cpu().MilliValue(), Memory: choice.Capacity.Memory().Value(),
		Why: vn.Annotations[v1alpha1.WhyAnnotation], Phase: vn.Status.Phase, Host: vn.Status.Hostname, Node: vn.Status.NodeName,
		Appeared:   vn.Status.InstanceID != "",
		Registered: meta.IsStatusConditionTrue(vn.Status.Conditions, v1alpha1.ConditionRegistered),
		Leaving:    !vn.DeletionTimestamp.IsZero(),
	}
	m.Ordered = m.Appeared || vn.Status.Order != nil && vn.Status.Order.State == v1alpha1.OrderAccepted
	m.Ready = m.Registered && meta.IsStatusConditionTrue(vn.Status.Conditions, v1alpha1.ConditionInitialized)
	if names := vn.Annotations[v1alpha1.PodsAnnotation]; names != "" {
		m.Pods = strings.Split(names, ",")
	}
	for _, refusal := range vn.Status.Refusals {
		m.Refusals = append(m.Refusals, refusal.Message)
	}
	if c := meta.FindStatusCondition(vn.Status.Conditions, v1alpha1.ConditionReady); c != nil {
		m.Message = c.Message
	}
	return m
}

// chosen is the size that was or will be bought.
func chosen(vn *v1alpha1.VPSieNode) v1alpha1.OfferingChoice {
	choice, ok := find(vn.Spec.Offerings, func(o v1alpha1.OfferingChoice) bool {
		return vn.Status.Order != nil && o.ID == vn.Status.Order.Offering
	})
	if !ok && len(vn.Spec.Offerings) > 0 {
		choice = vn.Spec.Offerings[0]
	}
	return choice
}

func amount(price string) float64 {
	value, err := strconv.ParseFloat(price, 64)
	if err != nil {
		return 0 // the API server admits no other price than a decimal, or none
	}
	return value
}

// Reasons of the controller's events, as kubectl shows them. The sandbox shares no code with the controller that it runs.
const (
	plannedReason    = "Planned"
	notPlannedReason = "NotPlanned"
)

// words are what the controller last said to a pod.
type words struct {
	reason, note string
	at           time.Time
}

func lastWords(events []eventsv1.Event) map[string]words {
	said := map[string]words{}
	for i := range events {
		e := &events[i]
		if e.Regarding.Kind != "Pod" || e.Reason != plannedReason && e.Reason != notPlannedReason {
			continue
		}
		w := words{reason: e.Reason, note: e.Note, at: e.EventTime.Time}
		if e.Series != nil {
			w.at = e.Series.LastObservedTime.Time
		}
		key := e.Regarding.Namespace + "/" + e.Regarding.Name
		if old, known := said[key]; !known || w.at.After(old.at) {
			said[key] = w
		}
	}
	return said
}

// podOf describes a pod. Its machine is the one that lists it, or else the one that the controller's event names: the list is bounded.
func podOf(p *corev1.Pod, said map[string]words, machines []machine) pod {
	requests := resourcehelper.PodRequests(p, resourcehelper.PodResourcesOptions{})
	view := pod{
		Name: p.Namespace + "/" + p.Name, Workload: cmp.Or(p.Labels[nameLabel], p.Name),
		CPU: requests.Cpu().MilliValue(), Memory: requests.Memory().Value(),
		Wishes: wishes(&p.Spec, p.Labels), Node: p.Spec.NodeName,
	}
	if owner := metav1.GetControllerOf(p); owner != nil {
		view.Kind = strings.Replace(owner.Kind, "ReplicaSet", "Deployment", 1)
	}
	for _, c := range p.Status.Conditions {
		switch {
		case c.Type == corev1.PodReady:
			view.Running = c.Status == corev1.ConditionTrue && p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp.IsZero()
		case c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse:
			view.Waiting = c.Message
		}
	}
	last := said[view.Name]
	if m, ok := find(machines, func(m machine) bool { return slices.Contains(m.Pods, view.Name) }); ok {
		view.Machine = m.Name
	} else if name := regexp.MustCompile(`VPSieNode ([a-z0-9.-]*[a-z0-9])`).FindStringSubmatch(last.note); name != nil && last.reason == plannedReason {
		view.Machine = name[1]
	}
	if last.reason == notPlannedReason && view.Node == "" {
		view.NotPlanned = last.note
	}
	return view
}

func decisionOf(d *v1alpha1.Disruption) decision {
	view := decision{
		Name: d.Name, Reason: d.Spec.Reason, Savings: amount(d.Spec.SavingsPerHour),
		Phase: cmp.Or(d.Status.Phase, v1alpha1.DisruptionProposed), Message: d.Status.Message,
	}
	for _, removal := range d.Spec.Remove {
		view.Removes = append(view.Removes, removal.VPSieNode)
	}
	return view
}
