// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	schedulinghelper "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"
	schedutil "k8s.io/kubernetes/pkg/scheduler/util"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// rule is what a class asks of other pods, and what they ask of it.
type rule struct {
	shape    *snapshot.Shape
	requests []int64

	near    []*counter // required affinity: by term, the pods that match all terms
	alone   bool       // the pod may be the first, because it matches its own affinity
	apart   []*counter // counters that must be 0: own anti-affinity, that of others, host ports
	spreads []spreading
	feeds   []*counter
	quota   *quota // nil: none
}

type spreading struct {
	*counter
	maxSkew, minDomains, self int32
}

func (r *rule) related() bool { return len(r.near) > 0 || len(r.apart) > 0 || len(r.spreads) > 0 }

func (r *rule) admits(number int) bool {
	if r.quota != nil && r.quota.left(number) == 0 {
		return false
	}
	for _, c := range r.apart {
		if c.at(number) > 0 {
			return false
		}
	}
	for i := range r.spreads {
		s := &r.spreads[i]
		if s.domain[number] == nowhere || s.at(number)+s.self-s.spread.least(s.minDomains) > s.maxSkew {
			return false
		}
	}
	return len(r.near) == 0 || r.isNear(number)
}

// isNear follows kube-scheduler: a pod that matches its own affinity may be the first of its kind anywhere.
func (r *rule) isNear(number int) bool {
	present, total := true, int64(0)
	for _, c := range r.near {
		if c.domain[number] == nowhere {
			return false
		}
		present = present && c.at(number) > 0
		total += c.total
	}
	return present || (r.alone && total == 0)
}

func extraResources(shapes []*snapshot.Shape, uncounted map[corev1.ResourceName]bool) []corev1.ResourceName {
	seen := map[corev1.ResourceName]bool{}
	for _, shape := range shapes {
		for name, amount := range shape.Resources().GetScalarResources() {
			if amount > 0 && !uncounted[name] {
				seen[name] = true
			}
		}
	}
	var names []corev1.ResourceName
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// offeredByDevices returns the resources that devices are offered as and that no node itself has: a plugin deals the devices out, and whoever
// counted what nodes have would find none.
func offeredByDevices(snap *snapshot.Snapshot) map[corev1.ResourceName]bool {
	offered := map[corev1.ResourceName]bool{}
	for _, class := range snap.Objects().DeviceClasses {
		offered[corev1.ResourceName(resourceapi.ResourceDeviceClassPrefix+class.Name)] = true
		offered[corev1.ResourceName(ptr.Deref(class.Spec.ExtendedResourceName, ""))] = true
	}
	if len(offered) == 0 {
		return nil
	}
	for _, info := range snap.Infos() {
		for name, amount := range info.GetAllocatable().GetScalarResources() {
			if amount > 0 {
				delete(offered, name)
			}
		}
	}
	return offered
}

func (l *Ledger) newRule(shape *snapshot.Shape) *rule {
	r := &rule{shape: shape, requests: l.vector(shape.Resources())}
	r.requests[PodSlots] = 1
	if terms := l.merged(shape.Affinity()); len(terms) > 0 {
		matchesAll := func(other *snapshot.Shape) bool {
			for i := range terms {
				if !terms[i].Matches(other.Pod, nil) {
					return false
				}
			}
			return true
		}
		texts := make([]string, len(terms))
		for i := range terms {
			texts[i] = textOf(&terms[i])
		}
		text := strings.Join(texts, ";")
		for i := range terms {
			c := l.counter("near "+terms[i].TopologyKey+" "+text, terms[i].TopologyKey, matchesAll)
			c.binding = true
			r.near = append(r.near, c)
		}
		r.alone = matchesAll(shape)
	}
	for _, term := range l.merged(shape.AntiAffinity()) {
		r.apart = append(r.apart, l.counter("matches "+textOf(&term), term.TopologyKey, func(other *snapshot.Shape) bool {
			return term.Matches(other.Pod, nil)
		}))
	}
	l.addSpreads(r)
	l.addPorts(r)
	return r
}

// merged resolves the terms' namespace selectors into names, as kube-scheduler does for the pod that it places.
func (l *Ledger) merged(terms []fwk.AffinityTerm) []fwk.AffinityTerm {
	var merged []fwk.AffinityTerm
	for _, term := range terms {
		if !term.NamespaceSelector.Empty() {
			term.Namespaces = term.Namespaces.Clone()
			for name, set := range l.namespaces {
				if term.NamespaceSelector.Matches(labels.Set(set)) {
					term.Namespaces.Insert(name)
				}
			}
			term.NamespaceSelector = labels.Nothing()
		}
		merged = append(merged, term)
	}
	return merged
}

func textOf(term *fwk.AffinityTerm) string {
	names := term.Namespaces.UnsortedList()
	slices.Sort(names)
	return fmt.Sprintf("%s|%s|%s|%v", term.TopologyKey, term.Selector, strings.Join(names, ","), term.NamespaceSelector.Empty()) +
		"|" + term.NamespaceSelector.String()
}

func (l *Ledger) counter(text, key string, minds func(*snapshot.Shape) bool) *counter {
	c, known := l.byText[text]
	if !known {
		c = &counter{topology: l.topology(key), minds: minds}
		l.byText[text] = c
		l.counters = append(l.counters, c)
	}
	return c
}

// holders returns the counter of pods that have an anti-affinity term.
func (l *Ledger) holders(term *fwk.AffinityTerm) *counter {
	text := textOf(term)
	return l.counter("has "+text, term.TopologyKey, func(other *snapshot.Shape) bool {
		terms := other.AntiAffinity()
		return slices.ContainsFunc(terms, func(t fwk.AffinityTerm) bool { return textOf(&t) == text })
	})
}

// meetOthers finds the anti-affinity terms that keep classes away: those of pods in the picture, of the classes and of comers.
func (l *Ledger) meetOthers(apart map[*snapshot.Shape]bool, comers []*snapshot.Shape) {
	type holder struct {
		term fwk.AffinityTerm
		text string
	}
	byText := map[string]holder{}
	add := func(shape *snapshot.Shape) {
		for _, term := range shape.AntiAffinity() {
			text := textOf(&term)
			byText[text] = holder{term, text}
		}
	}
	for shape := range apart {
		add(shape)
	}
	for _, shape := range comers {
		add(shape)
	}
	for _, r := range l.rules {
		add(r.shape)
	}
	terms := make([]holder, 0, len(byText))
	for _, h := range byText {
		terms = append(terms, h)
	}
	slices.SortFunc(terms, func(a, b holder) int { return cmp.Compare(a.text, b.text) })
	for _, r := range l.rules {
		own := labels.Set(l.namespaces[r.shape.Pod.Namespace])
		for i := range terms {
			if terms[i].term.Matches(r.shape.Pod, own) {
				r.apart = append(r.apart, l.holders(&terms[i].term))
			}
		}
	}
}

// fed returns the counters that count pods of the shape. All counters must have been made.
func (l *Ledger) fed(shape *snapshot.Shape) []*counter {
	fed, known := l.feeds[shape]
	if !known {
		for _, c := range l.counters {
			if c.minds(shape) {
				fed = append(fed, c)
			}
		}
		l.feeds[shape] = fed
	}
	return fed
}

func (l *Ledger) addSpreads(r *rule) {
	pod := r.shape.Pod
	var keys []string
	for _, constraint := range pod.Spec.TopologySpreadConstraints {
		if constraint.WhenUnsatisfiable == corev1.DoNotSchedule {
			keys = append(keys, constraint.TopologyKey)
		}
	}
	if len(keys) == 0 {
		return
	}
	affinity := nodeaffinity.GetRequiredNodeAffinity(pod)
	for i := range pod.Spec.TopologySpreadConstraints {
		constraint := &pod.Spec.TopologySpreadConstraints[i]
		if constraint.WhenUnsatisfiable != corev1.DoNotSchedule {
			continue
		}
		selector, err := selectorOf(constraint, pod)
		if err != nil {
			continue // the plugin refuses the pod whatever the counts are
		}
		minds := func(other *snapshot.Shape) bool {
			return !selector.Empty() && other.Pod.Namespace == pod.Namespace && other.Pod.DeletionTimestamp == nil &&
				selector.Matches(labels.Set(other.Pod.Labels))
		}
		text := fmt.Sprintf("spread %s %s %s %s %s", constraint.TopologyKey, selector, pod.Namespace, strings.Join(keys, ","), policies(constraint, pod))
		c := l.counter(text, constraint.TopologyKey, minds)
		if c.binding = true; c.spread == nil {
			c.spread = &spread{eligible: eligibility(constraint, pod, keys, affinity)}
		}
		s := spreading{counter: c, maxSkew: constraint.MaxSkew, minDomains: ptr.Deref(constraint.MinDomains, 1)}
		if selector.Matches(labels.Set(pod.Labels)) {
			s.self = 1
		}
		r.spreads = append(r.spreads, s)
	}
}

func selectorOf(constraint *corev1.TopologySpreadConstraint, pod *corev1.Pod) (labels.Selector, error) {
	selector, err := metav1.LabelSelectorAsSelector(constraint.LabelSelector)
	if err != nil {
		return nil, err
	}
	own := labels.Set{}
	for _, key := range constraint.MatchLabelKeys {
		if value, has := pod.Labels[key]; has {
			own[key] = value
		}
	}
	requirements, selectable := selector.Requirements()
	if len(own) == 0 || !selectable {
		return selector, nil
	}
	return labels.SelectorFromSet(own).Add(requirements...), nil
}

func honours(policy *corev1.NodeInclusionPolicy, unset corev1.NodeInclusionPolicy) bool {
	return ptr.Deref(policy, unset) == corev1.NodeInclusionPolicyHonor
}

// policies writes down what decides which nodes a spread counts.
func policies(constraint *corev1.TopologySpreadConstraint, pod *corev1.Pod) string {
	var text strings.Builder
	if honours(constraint.NodeAffinityPolicy, corev1.NodeInclusionPolicyHonor) {
		fmt.Fprint(&text, "nodes ", labels.Set(pod.Spec.NodeSelector))
		if pod.Spec.Affinity != nil && pod.Spec.Affinity.NodeAffinity != nil {
			text.WriteString(pod.Spec.Affinity.NodeAffinity.String())
		}
	}
	if honours(constraint.NodeTaintsPolicy, corev1.NodeInclusionPolicyIgnore) {
		text.WriteString("taints ")
		for i := range pod.Spec.Tolerations {
			text.WriteString(pod.Spec.Tolerations[i].String())
		}
	}
	return text.String()
}

func eligibility(
	constraint *corev1.TopologySpreadConstraint, pod *corev1.Pod, keys []string, affinity nodeaffinity.RequiredNodeAffinity,
) func(*corev1.Node) bool {
	byNode := honours(constraint.NodeAffinityPolicy, corev1.NodeInclusionPolicyHonor)
	byTaint := honours(constraint.NodeTaintsPolicy, corev1.NodeInclusionPolicyIgnore)
	return func(node *corev1.Node) bool {
		for _, key := range keys {
			if _, has := node.Labels[key]; !has {
				return false
			}
		}
		if byNode {
			if match, _ := affinity.Match(node); !match { // like the plugin: what cannot be read matches nothing
				return false
			}
		}
		if byTaint && len(node.Spec.Taints) > 0 {
			_, repelled := schedulinghelper.FindMatchingUntoleratedTaint(logr.Discard(), node.Spec.Taints, pod.Spec.Tolerations,
				func(t *corev1.Taint) bool {
					return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
				}, utilfeature.DefaultFeatureGate.Enabled(features.TaintTolerationComparisonOperators))
			return !repelled
		}
		return true
	}
}

// addPorts makes the class mind others of any class that want its host ports.
func (l *Ledger) addPorts(r *rule) {
	wanted := schedutil.GetHostPorts(r.shape.Pod)
	if len(wanted) == 0 {
		return
	}
	var text strings.Builder
	for _, port := range wanted {
		fmt.Fprintf(&text, "port %s/%s/%d ", port.HostIP, port.Protocol, port.HostPort)
	}
	c := l.counter(text.String(), ownSeat, func(other *snapshot.Shape) bool { return conflict(wanted, schedutil.GetHostPorts(other.Pod)) })
	r.apart = append(r.apart, c)
}

// conflict says whether two pods want the same port of one node. An address that is not given, and the address of all, is every address.
func conflict(a, b []corev1.ContainerPort) bool {
	address := func(p corev1.ContainerPort) string { return cmp.Or(p.HostIP, "0.0.0.0") }
	protocol := func(p corev1.ContainerPort) corev1.Protocol { return cmp.Or(p.Protocol, corev1.ProtocolTCP) }
	for _, p := range a {
		for _, q := range b {
			if p.HostPort == q.HostPort && protocol(p) == protocol(q) &&
				(address(p) == address(q) || address(p) == "0.0.0.0" || address(q) == "0.0.0.0") {
				return true
			}
		}
	}
	return false
}
