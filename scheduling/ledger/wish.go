// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"maps"
	"slices"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	schedulinghelper "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// What a preference weighs that has no weight of its own, in terms of affinity, whose weight is 1 to 100. kube-scheduler's score counts a taint
// half as much again as it counts affinity, and a spread like affinity.
const (
	spreadWeight = 100
	taintWeight  = 150
)

// Measure says how far pods are from what they prefer. The crowd tells apart what is unmet either way: of two nodes with three pods and
// one that would rather be apart, and two with two each, the latter is better.
type Measure struct{ Unmet, Crowd int64 }

// Plus adds two measures.
func (m Measure) Plus(o Measure) Measure { return Measure{m.Unmet + o.Unmet, m.Crowd + o.Crowd} }

// Minus subtracts a measure.
func (m Measure) Minus(o Measure) Measure { return Measure{m.Unmet - o.Unmet, m.Crowd - o.Crowd} }

// Negative says whether it is a step towards what pods prefer.
func (m Measure) Negative() bool { return m.Unmet < 0 || (m.Unmet == 0 && m.Crowd < 0) }

// Wishes counts what pods prefer: preferred affinity of any kind, soft topology spread, and nodes without a PreferNoSchedule taint. Nothing that
// it says is binding. It follows a Ledger of the same classes and nodes, and is for one goroutine at a time.
type Wishes struct {
	counts  *Ledger // of pods that wishes mind; it has no rules
	book    *Ledger
	first   int // seat that the book gave out after the start
	classes []wisher
	known   map[string]*wish
	texts   map[*snapshot.Shape][]string // of the wishes that pods of a shape have
}

// wisher is a class.
type wisher struct {
	shape    *snapshot.Shape
	feeds    []*counter
	own      []*wish
	touched  []*wish // whose measure depends on where its pods are
	affinity *nodeaffinity.PreferredSchedulingTerms
	total    int64   // weight of that affinity
	nodes    []int64 // by seat: what the node itself leaves unmet; -1 where that was not found out
}

type wishKind int

const (
	near wishKind = iota
	apart
	even
)

// wish is a preference about other pods, which pods of any number of classes may have.
type wish struct {
	kind    wishKind
	weight  int64
	maxSkew int32
	self    int32    // 1 where such a pod counts itself
	matched *counter // pods that it is about
	holders *counter // pods that have it
}

// Wishful says whether a pod of the shape prefers anything itself.
func Wishful(shape *snapshot.Shape) bool {
	affinity, antiAffinity := shape.Preferences()
	spec := &shape.Pod.Spec
	return len(affinity)+len(antiAffinity) > 0 ||
		(spec.Affinity != nil && spec.Affinity.NodeAffinity != nil && len(spec.Affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0) ||
		slices.ContainsFunc(spec.TopologySpreadConstraints, soft)
}

func soft(c corev1.TopologySpreadConstraint) bool {
	return c.WhenUnsatisfiable == corev1.ScheduleAnyway
}

// NewWishes counts for a book that was just made of the same picture and shapes.
func NewWishes(snap *snapshot.Snapshot, shapes []*snapshot.Shape, book *Ledger) *Wishes {
	w := &Wishes{
		counts: &Ledger{
			topologies: map[string]*topology{}, byText: map[string]*counter{}, namespaces: book.namespaces, feeds: map[*snapshot.Shape][]*counter{},
		},
		book: book, first: len(book.seats), classes: make([]wisher, len(shapes)), known: map[string]*wish{}, texts: map[*snapshot.Shape][]string{},
	}
	for class, shape := range shapes {
		w.classes[class].shape = shape
		w.read(&w.classes[class])
	}
	w.counts.start(snap)
	w.counts.countKinds(snap.Kinds())
	texts := slices.Sorted(maps.Keys(w.known))
	for class := range w.classes {
		c := &w.classes[class]
		c.feeds = w.counts.fed(c.shape)
		for _, text := range texts {
			if wish := w.known[text]; slices.Contains(c.feeds, wish.matched) || slices.Contains(c.feeds, wish.holders) {
				c.touched = append(c.touched, wish)
			}
		}
	}
	return w
}

// read finds the wishes of a class.
func (w *Wishes) read(c *wisher) {
	pod := c.shape.Pod
	if affinity := pod.Spec.Affinity; affinity != nil && affinity.NodeAffinity != nil {
		terms := affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution
		if selector, err := nodeaffinity.NewPreferredSchedulingTerms(terms); err == nil { // else the plugin ignores it too
			c.affinity = selector
			for _, term := range terms {
				c.total += int64(term.Weight)
			}
		}
	}
	affinity, antiAffinity := c.shape.Preferences()
	for i, terms := range [][]fwk.WeightedAffinityTerm{affinity, antiAffinity} {
		kind := []wishKind{near, apart}[i]
		for j := range terms {
			term := w.counts.merged([]fwk.AffinityTerm{terms[j].AffinityTerm})[0]
			text := wishText(kind, terms[j].Weight, &term)
			matches := func(other *snapshot.Shape) bool { return term.Matches(other.Pod, nil) }
			c.own = append(c.own, w.wish(text, term.TopologyKey, matches, wish{kind: kind, weight: int64(terms[j].Weight)}, c.shape))
		}
	}
	w.readSpreads(c)
}

func wishText(kind wishKind, weight int32, term *fwk.AffinityTerm) string {
	return fmt.Sprintf("prefers %d %d %s", kind, weight, textOf(term))
}

func (w *Wishes) readSpreads(c *wisher) {
	pod := c.shape.Pod
	var keys []string
	for _, constraint := range pod.Spec.TopologySpreadConstraints {
		if soft(constraint) {
			keys = append(keys, constraint.TopologyKey)
		}
	}
	if len(keys) == 0 {
		return
	}
	affinity := nodeaffinity.GetRequiredNodeAffinity(pod)
	for i := range pod.Spec.TopologySpreadConstraints {
		constraint := &pod.Spec.TopologySpreadConstraints[i]
		if !soft(*constraint) {
			continue
		}
		selector, err := selectorOf(constraint, pod)
		if err != nil {
			continue
		}
		matches := func(other *snapshot.Shape) bool {
			return !selector.Empty() && other.Pod.Namespace == pod.Namespace && other.Pod.DeletionTimestamp == nil &&
				selector.Matches(labels.Set(other.Pod.Labels))
		}
		text := fmt.Sprintf("prefers spread %d %s %s %s %s %s", constraint.MaxSkew, constraint.TopologyKey, selector, pod.Namespace, keys,
			policies(constraint, pod))
		made := w.wish(text, constraint.TopologyKey, matches, wish{kind: even, weight: spreadWeight, maxSkew: constraint.MaxSkew}, c.shape)
		if made.matched.spread == nil {
			made.matched.spread = &spread{eligible: eligibility(constraint, pod, keys, affinity)}
		}
		c.own = append(c.own, made)
	}
}

// wish returns the one wish of that text, which a shape has.
func (w *Wishes) wish(text, key string, matches func(*snapshot.Shape) bool, of wish, shape *snapshot.Shape) *wish {
	if matches(shape) {
		of.self = 1
	}
	text = fmt.Sprintf("%s %d", text, of.self)
	w.texts[shape] = append(w.texts[shape], text)
	if w.known[text] == nil {
		of.matched = w.counts.counter("minded by "+text, key, matches)
		of.holders = w.counts.counter("having "+text, key, func(other *snapshot.Shape) bool { return slices.Contains(w.textsOf(other), text) })
		w.known[text] = &of
	}
	return w.known[text]
}

// textsOf returns the wishes of pods that are there. Those of which no class has any are of no interest.
func (w *Wishes) textsOf(shape *snapshot.Shape) []string {
	texts, known := w.texts[shape]
	if known || !Wishful(shape) {
		return texts
	}
	affinity, antiAffinity := shape.Preferences()
	for i, terms := range [][]fwk.WeightedAffinityTerm{affinity, antiAffinity} {
		for j := range terms {
			term := w.counts.merged([]fwk.AffinityTerm{terms[j].AffinityTerm})[0]
			self := 0
			if term.Matches(shape.Pod, nil) {
				self = 1
			}
			texts = append(texts, fmt.Sprintf("%s %d", wishText([]wishKind{near, apart}[i], terms[j].Weight, &term), self))
		}
	}
	w.texts[shape] = texts
	return texts
}

// Follow takes over which nodes the book has got and lost.
func (w *Wishes) Follow() {
	for number := len(w.counts.seats); number < len(w.book.seats); number++ {
		seat := &w.book.seats[number]
		w.counts.seat(seat.node)
		var feeds []*counter
		for _, shape := range seat.comers {
			feeds = append(feeds, w.counts.fed(shape)...)
		}
		for _, c := range feeds {
			c.count(number, 1)
		}
		w.counts.seats[number].feeds = feeds
	}
	for number := w.first; number < len(w.book.seats); number++ {
		if w.book.seats[number].gone && !w.counts.seats[number].gone {
			w.counts.RemoveSeat(number)
		}
	}
}

// Enter writes down pods of a class on a node.
func (w *Wishes) Enter(class, number, pods int) {
	for _, c := range w.classes[class].feeds {
		c.count(number, int32(pods)) //nolint:gosec // a node holds no two billion pods
	}
}

// Erase takes back what Enter wrote down.
func (w *Wishes) Erase(class, number, pods int) { w.Enter(class, number, -pods) }

// OfNode returns what a node itself leaves unmet of one pod of the class, whatever else is there.
func (w *Wishes) OfNode(class, number int) int64 {
	c := &w.classes[class]
	for len(c.nodes) < len(w.counts.seats) {
		c.nodes = append(c.nodes, -1)
	}
	if c.nodes[number] < 0 {
		c.nodes[number] = w.ofNode(c, number)
	}
	return c.nodes[number]
}

func (w *Wishes) ofNode(c *wisher, number int) int64 {
	node := w.counts.seats[number].node
	unmet := c.total
	if c.affinity != nil {
		unmet -= c.affinity.Score(node)
	}
	for i := range node.Spec.Taints {
		taint := &node.Spec.Taints[i]
		if taint.Effect == corev1.TaintEffectPreferNoSchedule && !schedulinghelper.TolerationsTolerateTaint(logr.Discard(), c.shape.Pod.Spec.Tolerations,
			taint, utilfeature.DefaultFeatureGate.Enabled(features.TaintTolerationComparisonOperators)) {
			unmet += taintWeight
		}
	}
	for _, wish := range c.own {
		if wish.kind != apart && wish.matched.domain[number] == nowhere {
			unmet += wish.weight
		}
	}
	return unmet
}
