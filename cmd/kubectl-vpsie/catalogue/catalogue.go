// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package catalogue turns a file that says what can be bought, where and at what price, into offerings. It never guesses a price: a
// field that is missing or not known is an error.
package catalogue

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/field"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// DefaultMaxPods is the number of pods that a kubelet admits unless it is told otherwise.
const DefaultMaxPods = 110

// Catalogue is what can be bought.
type Catalogue struct {
	Source    string // where it comes from, for people
	Offerings []scheduling.Offering
	Reserved  *v1alpha1.Reservation // what the kubelet and the system keep on each node; nil: an estimate
	MaxPods   *int32                // per node; nil: DefaultMaxPods
}

// InvalidError is what is wrong with a catalogue, one mistake a line.
type InvalidError struct{ Problems []string }

func (e *InvalidError) Error() string { return strings.Join(e.Problems, "\n") }

// file is the format. Pointers tell what is missing from what is zero.
type file struct {
	Datacenters []datacenter `json:"datacenters"`
	Reserved    *reserved    `json:"reserved"`
	MaxPods     *int32       `json:"maxPods"`
}

type datacenter struct {
	ID        *string    `json:"id"`
	Name      string     `json:"name"`
	Offerings []offering `json:"offerings"`
}

type offering struct {
	ID           *string  `json:"id"`
	Name         string   `json:"name"`
	Category     string   `json:"category"`
	CPU          *float64 `json:"cpu"`
	MemoryMiB    *int64   `json:"memoryMiB"`
	DiskGiB      int64    `json:"diskGiB"`
	PricePerHour *float64 `json:"pricePerHour"`
}

type reserved struct {
	CPUMilli  *int64 `json:"cpuMilli"`
	MemoryMiB *int64 `json:"memoryMiB"`
}

// Load reads a catalogue in JSON or YAML. What is wrong with it comes back as an InvalidError.
func Load(path string) (*Catalogue, error) {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &InvalidError{[]string{path + ": there is no such file"}}
	case err != nil:
		return nil, &InvalidError{[]string{fmt.Sprintf("%s: %v", path, errors.Unwrap(err))}}
	}
	return parse(path, text)
}

func parse(path string, text []byte) (*Catalogue, error) {
	invalid := &InvalidError{}
	if strings.TrimSpace(string(text)) == "" {
		return nil, &InvalidError{[]string{path + `:1: there is nothing in it; want {"datacenters": [...]}`}}
	}
	parsed, err := field.Parse(text)
	if err != nil {
		return nil, &InvalidError{[]string{fmt.Sprintf("%s: this is neither valid JSON nor YAML: %v", path, err)}}
	}
	for _, problem := range parsed.Check(reflect.TypeFor[file]()) {
		invalid.Problems = append(invalid.Problems, fmt.Sprintf("%s:%d: %s", path, problem.Line, problem))
	}
	if len(invalid.Problems) > 0 {
		return nil, invalid
	}
	var f file
	if err := yaml.Unmarshal(text, &f); err != nil {
		return nil, &InvalidError{[]string{fmt.Sprintf("%s: %v", path, err)}}
	}
	c := &checker{report: func(at, format string, args ...any) {
		invalid.Problems = append(invalid.Problems, fmt.Sprintf("%s:%d: %s: %s", path, parsed.Line(at), at, fmt.Sprintf(format, args...)))
	}}
	result := c.catalogue(&f)
	result.Source = path
	if len(invalid.Problems) > 0 {
		return nil, invalid
	}
	return result, nil
}

// Simulated is the catalogue of the simulated VPSie in its first datacenter: a cluster is in one. Its prices are made up.
func Simulated() (*Catalogue, error) {
	simulated, err := vpsiesim.EmbeddedCatalogue()
	if err != nil {
		return nil, err
	}
	at := simulated.Datacenters[0]
	result := &Catalogue{Source: "simulated, these are not VPSie's prices"}
	for _, offer := range simulated.Offers {
		result.Offerings = append(result.Offerings, scheduling.Offering{
			ID: fmt.Sprint(offer.ID), Name: offer.Name, Category: category(offer.Name),
			Datacenter: strings.ToLower(at.Code), DatacenterName: at.Name, Zone: strings.ToLower(at.Code), Region: region(at.Name),
			CPUMilli: int64(offer.CPU) * 1000, MemoryMiB: int64(offer.RAMMB), DiskGiB: int64(offer.DiskGB),
			Price: scheduling.PerMonth(offer.PricePerMonth * at.PriceMultiplier), Available: true,
		})
	}
	return result, nil
}

func category(name string) string {
	first, _, _ := strings.Cut(strings.ToLower(name), "-")
	if first == "memory" || first == "compute" {
		return first
	}
	return "shared"
}

func region(datacenter string) string {
	return strings.ReplaceAll(strings.ToLower(datacenter), " ", "-")
}

// Apply gives the group what the catalogue says about every node and the group leaves open. The group itself is not changed.
func (c *Catalogue) Apply(group *v1alpha1.NodeGroup) *v1alpha1.NodeGroup {
	if c.Reserved == nil && c.MaxPods == nil {
		return group
	}
	group = group.DeepCopy()
	template := &group.Spec.Template
	if c.Reserved != nil {
		own := template.Reserved
		template.Reserved = c.Reserved.DeepCopy()
		if own != nil {
			template.Reserved.CPU = cmp.Or(own.CPU, template.Reserved.CPU)
			template.Reserved.Memory = cmp.Or(own.Memory, template.Reserved.Memory)
		}
	}
	template.MaxPods = cmp.Or(template.MaxPods, c.MaxPods)
	return group
}

// checker turns a file into a catalogue and reports what cannot be meant.
type checker struct {
	report func(at, format string, args ...any)
}

func (c *checker) catalogue(f *file) *Catalogue {
	result := &Catalogue{MaxPods: f.MaxPods}
	if len(f.Datacenters) == 0 {
		c.report("datacenters", "is missing; want at least one datacenter")
	}
	seen := map[string]int{}
	for i := range f.Datacenters {
		at := fmt.Sprintf("datacenters[%d]", i)
		if id := f.Datacenters[i].ID; c.label(at+".id", id) {
			if first, twice := seen[*id]; twice {
				c.report(at+".id", "is %q, which datacenters[%d] has already", *id, first)
			}
			seen[*id] = i
		}
		result.Offerings = append(result.Offerings, c.datacenter(at, &f.Datacenters[i])...)
	}
	if f.MaxPods != nil && *f.MaxPods < 1 {
		c.report("maxPods", "is %d, want 1 or more", *f.MaxPods)
	}
	if f.Reserved != nil {
		result.Reserved = &v1alpha1.Reservation{}
		if cpu := f.Reserved.CPUMilli; c.amount("reserved.cpuMilli", cpu) {
			result.Reserved.CPU = resource.NewMilliQuantity(*cpu, resource.DecimalSI)
		}
		if memory := f.Reserved.MemoryMiB; c.amount("reserved.memoryMiB", memory) {
			result.Reserved.Memory = resource.NewQuantity(*memory<<20, resource.BinarySI)
		}
	}
	return result
}

func (c *checker) datacenter(at string, d *datacenter) []scheduling.Offering {
	var offerings []scheduling.Offering
	seen := map[string]int{}
	for i := range d.Offerings {
		o := &d.Offerings[i]
		at := fmt.Sprintf("%s.offerings[%d]", at, i)
		if c.label(at+".id", o.ID) {
			if first, twice := seen[*o.ID]; twice {
				c.report(at+".id", "is %q, which offerings[%d] of this datacenter has already", *o.ID, first)
			}
			seen[*o.ID] = i
		}
		if c.offering(at, o) && o.ID != nil && d.ID != nil {
			offerings = append(offerings, scheduling.Offering{
				ID: *o.ID, Name: cmp.Or(o.Name, *o.ID), Category: o.Category,
				Datacenter: *d.ID, DatacenterName: d.Name, Zone: *d.ID, Region: region(cmp.Or(d.Name, *d.ID)),
				CPUMilli: int64(math.Round(*o.CPU * 1000)), MemoryMiB: *o.MemoryMiB, DiskGiB: o.DiskGiB,
				Price: scheduling.PerHour(*o.PricePerHour), Available: true,
			})
		}
	}
	return offerings
}

// The most that is believed: more is a slip of the unit, and would overflow further on.
const (
	mostCPU       = 1e5
	mostMemoryMiB = 1 << 30
	mostPerHour   = 1e6
)

func (c *checker) offering(at string, o *offering) bool {
	switch {
	case o.CPU == nil:
		c.report(at+".cpu", "is missing; want the number of virtual CPUs")
	case *o.CPU <= 0 || *o.CPU > mostCPU:
		c.report(at+".cpu", "is %v, want a number of virtual CPUs greater than 0", *o.CPU)
	case o.MemoryMiB == nil:
		c.report(at+".memoryMiB", "is missing; want the memory in MiB")
	case *o.MemoryMiB <= 0 || *o.MemoryMiB > mostMemoryMiB:
		c.report(at+".memoryMiB", "is %d, want the memory in MiB, greater than 0", *o.MemoryMiB)
	case o.DiskGiB < 0 || o.DiskGiB > mostMemoryMiB:
		c.report(at+".diskGiB", "is %d, want the disk in GiB, 0 or more", o.DiskGiB)
	case o.PricePerHour == nil:
		c.report(at+".pricePerHour", "is missing; want the price of an hour")
	case *o.PricePerHour < 0 || *o.PricePerHour > mostPerHour:
		c.report(at+".pricePerHour", "is %v, want the price of an hour, 0 or more", *o.PricePerHour)
	default:
		return true
	}
	return false
}

func (c *checker) amount(at string, n *int64) bool {
	if n != nil && (*n < 0 || *n > mostMemoryMiB) {
		c.report(at, "is %d, want 0 or more", *n)
		return false
	}
	return n != nil
}

// label checks an identifier that becomes the value of a node label.
func (c *checker) label(at string, id *string) bool {
	switch {
	case id == nil || *id == "":
		c.report(at, "is missing; want an identifier")
	case len(validation.IsValidLabelValue(*id)) > 0:
		c.report(at, "is %q, want at most 63 letters, digits, '-', '_' or '.', because nodes carry it as a label", *id)
	default:
		return true
	}
	return false
}
