// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report turns a plan, and the picture it was made on, into what people and programs read: JSON, YAML, a text for a terminal and
// a page for a browser. It decides nothing.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// Facts are what a report tells.
type Facts struct {
	Plan      scheduling.Plan
	Cluster   *snapshot.Snapshot // as it is without the plan
	Pods      []*corev1.Pod      // that were planned for
	Groups    []scheduling.Group
	Elapsed   time.Duration // that planning took
	NodeCost  scheduling.Price
	Catalogue string // where sizes and prices come from
	Warnings  []string
}

// Report is a plan in words and numbers. Its form in JSON is an interface: fields may be added to it, and none changes or goes.
type Report struct {
	Launches          []Launch    `json:"launches"`
	Placements        []Placement `json:"placements"`
	Rejections        []Rejection `json:"rejections"`
	CostPerHour       float64     `json:"costPerHour"`
	NodeCostPerHour   float64     `json:"nodeCostPerHour"` // in it, for each machine
	LowerBoundPerHour float64     `json:"lowerBoundPerHour"`
	Gap               *float64    `json:"gap"`
	SolveSeconds      float64     `json:"solveSeconds"`
	Verified          bool        `json:"verified"`
	Catalogue         string      `json:"catalogue"`
	Warnings          []string    `json:"warnings"`

	nodeCost scheduling.Price

	plan  scheduling.Plan
	nodes []node // that get a pod or have one: those that are there by name, then those to buy
	pods  map[types.NamespacedName]*corev1.Pod
}

// Launch is one machine to buy.
type Launch struct {
	Name           string   `json:"name"`
	NodeGroup      string   `json:"nodeGroup"`
	Offering       string   `json:"offering"` // its identifier
	OfferingName   string   `json:"offeringName"`
	Datacenter     string   `json:"datacenter"` // its identifier
	DatacenterName string   `json:"datacenterName"`
	PricePerHour   float64  `json:"pricePerHour"`
	Pods           []string `json:"pods"`
	Why            string   `json:"why"`
}

// Placement says which node that is there, or on its way, takes a pod.
type Placement struct {
	Pod  string `json:"pod"`
	Node string `json:"node"`
}

// Rejection says why a pod fits nowhere.
type Rejection struct {
	Pod     string   `json:"pod"`
	Message string   `json:"message"` // the nearest miss
	Reasons []string `json:"reasons"`
}

// New makes a report.
func New(facts Facts) *Report {
	plan := facts.Plan
	r := &Report{
		Launches: []Launch{}, Placements: []Placement{}, Rejections: []Rejection{},
		CostPerHour: plan.Cost.Float(), NodeCostPerHour: facts.NodeCost.Float(), LowerBoundPerHour: plan.LowerBound.Float(), Gap: gap(plan),
		SolveSeconds: facts.Elapsed.Round(time.Microsecond).Seconds(), Verified: plan.Verified,
		Catalogue: facts.Catalogue, Warnings: append([]string{}, facts.Warnings...),
		nodeCost: facts.NodeCost, plan: plan, pods: make(map[types.NamespacedName]*corev1.Pod, len(facts.Pods)),
	}
	for _, pod := range facts.Pods {
		r.pods[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = pod
	}
	bought := map[string]bool{}
	for _, launch := range plan.Launches {
		bought[launch.Name] = true
		best := launch.Offerings[0]
		r.Launches = append(r.Launches, Launch{
			Name: launch.Name, NodeGroup: launch.Group, Offering: best.ID, OfferingName: best.Name,
			Datacenter: best.Datacenter, DatacenterName: best.DatacenterName, PricePerHour: best.Price.Float(),
			Pods: names(launch.Pods), Why: launch.Why,
		})
	}
	for _, placement := range plan.Placements {
		if !bought[placement.Node] {
			r.Placements = append(r.Placements, Placement{Pod: placement.Pod.String(), Node: placement.Node})
		}
	}
	for _, rejection := range plan.Rejections {
		r.Rejections = append(r.Rejections, Rejection{
			Pod: rejection.Pod.String(), Message: rejection.Message, Reasons: append([]string{}, rejection.Reasons...),
		})
	}
	r.nodes = nodes(facts, r.pods)
	return r
}

func names(pods []types.NamespacedName) []string {
	list := make([]string, 0, len(pods))
	for _, pod := range pods {
		list = append(list, pod.String())
	}
	return list
}

// gap is what the plan costs beyond the bound, as a share of the bound, to the millionth. It has no value where nothing is known but that
// the bound is not negative.
func gap(plan scheduling.Plan) *float64 {
	switch {
	case plan.Cost == plan.LowerBound:
		return new(0.0)
	case plan.LowerBound <= 0:
		return nil
	}
	return new(math.Round((plan.Cost.Float()/plan.LowerBound.Float()-1)*1e6) / 1e6)
}

// Format is a form of output.
type Format string

// The forms of output.
const (
	Text Format = "text"
	JSON Format = "json"
	YAML Format = "yaml"
	HTML Format = "html"
)

// ParseFormat reads the name of a form.
func ParseFormat(name string) (Format, error) {
	switch format := Format(name); format {
	case Text, JSON, YAML, HTML:
		return format, nil
	}
	return "", fmt.Errorf("%q is no form of output; want text, json, yaml or html", name)
}

// Write writes the report.
func (r *Report) Write(w io.Writer, format Format) error {
	switch format {
	case JSON:
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	case YAML:
		text, err := yaml.Marshal(r)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	case HTML:
		return r.writePage(w)
	case Text:
		_, err := io.WriteString(w, r.text())
		return err
	}
	return fmt.Errorf("writing a report as %q: no such form", format)
}
