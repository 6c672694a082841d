// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

//go:embed catalogue.json
var embeddedCatalogue []byte

// Catalogue is what the simulated VPSie sells, and where.
type Catalogue struct {
	Note        string       `json:"note,omitempty"`
	Currency    string       `json:"currency"`
	Datacenters []Datacenter `json:"datacenters"`
	Offers      []Offer      `json:"offers"`
	Versions    []string     `json:"versions"`
	Categories  []Category   `json:"categories"`
	Plans       []Plan       `json:"plans"`
}

// Datacenter is a place machines run in. Every price is multiplied by its PriceMultiplier.
type Datacenter struct {
	Code            string  `json:"code"`
	Identifier      string  `json:"identifier"`
	Name            string  `json:"name"`
	State           string  `json:"state"`
	Country         string  `json:"country"`
	PriceMultiplier float64 `json:"priceMultiplier"`
}

// Offer is a size of worker machines for a managed Kubernetes cluster.
type Offer struct {
	ID            int     `json:"id"`
	Name          string  `json:"name"`
	CPU           int     `json:"cpu"`
	RAMMB         int     `json:"ramMB"`
	DiskGB        int     `json:"diskGB"`
	PricePerMonth float64 `json:"pricePerMonth"`
}

// Category is a family of plans.
type Category struct {
	Identifier string `json:"identifier"`
	Name       string `json:"name"`
}

// Plan is a size of plain virtual machines. The simulator lists plans and sells none.
type Plan struct {
	SizeID        int     `json:"sizeId"`
	Name          string  `json:"name"`
	Category      string  `json:"category"`
	CPU           int     `json:"cpu"`
	RAMMB         int     `json:"ramMB"`
	SSDGB         int     `json:"ssdGB"`
	TrafficGB     int     `json:"trafficGB"`
	NetSpeedMbps  int     `json:"netSpeedMbps"`
	PricePerMonth float64 `json:"pricePerMonth"`
}

// EmbeddedCatalogue is the catalogue that comes with the simulator. Its figures are not VPSie's.
func EmbeddedCatalogue() (*Catalogue, error) { return parseCatalogue(embeddedCatalogue) }

// LoadCatalogue reads another catalogue from a JSON file.
func LoadCatalogue(path string) (*Catalogue, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading catalogue: %w", err)
	}
	catalogue, err := parseCatalogue(data)
	if err != nil {
		return nil, fmt.Errorf("reading catalogue %q: %w", path, err)
	}
	return catalogue, nil
}

func parseCatalogue(data []byte) (*Catalogue, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	catalogue := &Catalogue{}
	if err := decoder.Decode(catalogue); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the catalogue's closing brace")
	}
	return catalogue, catalogue.validate()
}

func (c *Catalogue) validate() error {
	check := &fieldCheck{seen: map[string]string{}}
	if c.Currency != ledger.Currency {
		check.failed("currency", "must be %q, is %q", ledger.Currency, c.Currency)
	}
	check.some("datacenters", len(c.Datacenters))
	check.some("offers", len(c.Offers))
	check.some("versions", len(c.Versions))
	for i, dc := range c.Datacenters {
		at := fmt.Sprintf("datacenters[%d].", i)
		check.unique(at+"code", "datacenter", dc.Code)
		check.unique(at+"identifier", "datacenter", dc.Identifier)
		check.filled(at+"name", dc.Name)
		check.price(at+"priceMultiplier", dc.PriceMultiplier)
	}
	for i, offer := range c.Offers {
		at := fmt.Sprintf("offers[%d].", i)
		check.size(at+"id", offer.ID)
		check.unique(at+"id", "offer", strconv.Itoa(offer.ID))
		check.unique(at+"name", "offer", offer.Name)
		check.size(at+"cpu", offer.CPU)
		check.size(at+"ramMB", offer.RAMMB)
		check.size(at+"diskGB", offer.DiskGB)
		check.price(at+"pricePerMonth", offer.PricePerMonth)
	}
	for i, version := range c.Versions {
		check.filled(fmt.Sprintf("versions[%d]", i), version)
	}
	for i, category := range c.Categories {
		at := fmt.Sprintf("categories[%d].", i)
		check.unique(at+"identifier", "category", category.Identifier)
		check.unique(at+"name", "category", category.Name)
	}
	c.validatePlans(check)
	return errors.Join(check.problems...)
}

func (c *Catalogue) validatePlans(check *fieldCheck) {
	for i, plan := range c.Plans {
		at := fmt.Sprintf("plans[%d].", i)
		check.size(at+"sizeId", plan.SizeID)
		check.unique(at+"sizeId", "plan", strconv.Itoa(plan.SizeID))
		check.unique(at+"name", "plan", plan.Name)
		if !slices.ContainsFunc(c.Categories, func(other Category) bool { return other.Name == plan.Category }) {
			check.failed(at+"category", "%q is not the name of a category", plan.Category)
		}
		check.size(at+"cpu", plan.CPU)
		check.size(at+"ramMB", plan.RAMMB)
		check.size(at+"ssdGB", plan.SSDGB)
		check.price(at+"pricePerMonth", plan.PricePerMonth)
	}
}

func (c *Catalogue) datacenter(is func(Datacenter) bool) (Datacenter, int, bool) {
	i := slices.IndexFunc(c.Datacenters, is)
	if i < 0 {
		return Datacenter{}, 0, false
	}
	return c.Datacenters[i], i, true
}

func (c *Catalogue) offer(id int) (Offer, bool) {
	i := slices.IndexFunc(c.Offers, func(o Offer) bool { return o.ID == id })
	if i < 0 {
		return Offer{}, false
	}
	return c.Offers[i], true
}

// monthlyPrice is a price in a datacenter, to the cent.
func (d Datacenter) monthlyPrice(base float64) float64 {
	return math.Round(base*d.PriceMultiplier*100) / 100
}

// fieldCheck collects every problem, each with the name of its field.
type fieldCheck struct {
	problems []error
	seen     map[string]string
}

func (c *fieldCheck) failed(field, problem string, args ...any) {
	c.problems = append(c.problems, fmt.Errorf("field %q: %s", field, fmt.Sprintf(problem, args...)))
}

func (c *fieldCheck) some(field string, count int) {
	if count == 0 {
		c.failed(field, "needs at least one")
	}
}

func (c *fieldCheck) filled(field, value string) {
	if value == "" {
		c.failed(field, "is empty")
	}
}

func (c *fieldCheck) size(field string, value int) {
	if value < 1 {
		c.failed(field, "must be at least 1, is %d", value)
	}
}

func (c *fieldCheck) price(field string, value float64) {
	if value <= 0 {
		c.failed(field, "must be above 0, is %v", value)
	}
}

func (c *fieldCheck) unique(field, what, value string) {
	c.filled(field, value)
	key := what + " " + value
	if first, taken := c.seen[key]; taken {
		c.failed(field, "%q is already used by %q", value, first)
		return
	}
	c.seen[key] = field
}
