// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// Price is money per hour in billionths of the account's currency. Sums of it are exact.
type Price int64

// HoursPerMonth is VPSie's billing month.
const HoursPerMonth = 720

const priceUnit = 1_000_000_000

// PerMonth turns an amount per month into a price per hour, rounded to the nearest billionth.
func PerMonth(amount float64) Price { return PerHour(amount / HoursPerMonth) }

// PerHour turns an amount per hour into a price, rounded to the nearest billionth.
func PerHour(amount float64) Price { return Price(math.Round(amount * priceUnit)) }

// ParsePrice reads a decimal such as "0.0333". The empty string is 0.
func ParsePrice(text v1alpha1.Price) (Price, error) {
	if text == "" {
		return 0, nil
	}
	whole, fraction, _ := strings.Cut(string(text), ".")
	if len(fraction) > 9 {
		return 0, fmt.Errorf("reading price %q: at most nine decimal places are kept", text)
	}
	units, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", 9-len(fraction)), 10, 64)
	if err != nil || units < 0 {
		return 0, fmt.Errorf("reading price %q: want a decimal such as 0.0333", text)
	}
	return Price(units), nil
}

// mostNodeCost is the most per hour that is believed: a plan adds prices up, and nonsense would overflow the sum.
const mostNodeCost = 1_000_000

// ParseNodeCost reads Input.NodeCost, written as prices are.
func ParseNodeCost(text string) (Price, error) {
	price, err := ParsePrice(v1alpha1.Price(text))
	if err != nil {
		return 0, err
	}
	if price > PerHour(mostNodeCost) {
		return 0, fmt.Errorf("%q is more than %d per hour", text, mostNodeCost)
	}
	return price, nil
}

// Decimal returns the exact amount with at least four decimal places.
func (p Price) Decimal() string {
	sign := ""
	if p < 0 {
		sign, p = "-", -p
	}
	fraction := strings.TrimRight(fmt.Sprintf("%09d", p%priceUnit), "0")
	if len(fraction) < 4 {
		fraction += strings.Repeat("0", 4-len(fraction))
	}
	return fmt.Sprintf("%s%d.%s", sign, p/priceUnit, fraction)
}

// API returns the price as the kinds hold it. A negative price is not representable there and becomes 0.
func (p Price) API() v1alpha1.Price { return v1alpha1.Price(max(p, 0).Decimal()) }

// Float returns the amount as a float, for metrics and people only.
func (p Price) Float() float64 { return float64(p) / priceUnit }

// String returns the amount rounded to four decimal places, for people.
func (p Price) String() string { return strconv.FormatFloat(p.Float(), 'f', 4, 64) }

// Offering is one size of machine that can be bought in one datacenter.
type Offering struct {
	ID         string // the cloud's identifier of the size
	Name       string // what users call it, and the value of node.kubernetes.io/instance-type
	Category   string // shared, compute, general, memory; empty where the cloud does not tell
	Datacenter string // identifier
	// DatacenterName is what users call the datacenter; empty where the cloud does not tell.
	DatacenterName string
	Zone           string // value of topology.kubernetes.io/zone
	Region         string // value of topology.kubernetes.io/region
	Arch           string // kubernetes.io/arch
	// Cluster and Project are the identifiers of those that a machine of it would belong to; empty where the cloud does not tell.
	Cluster, Project string
	CPUMilli         int64 // sold
	MemoryMiB        int64 // sold
	DiskGiB          int64 // sold
	Price            Price // per hour
	Available        bool  // false while it is set aside for lack of stock or quota
	// VisibleMemoryMiB and ReservedCPUMilli correct the template by what registered nodes of this size really show; 0 where none did.
	VisibleMemoryMiB int64
	ReservedCPUMilli int64
	ReservedMiB      int64
}

// CompareOfferings orders offerings by price, then name, then identifier, then datacenter: a total order.
func CompareOfferings(a, b Offering) int {
	return cmp.Or(
		cmp.Compare(a.Price, b.Price),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.ID, b.ID),
		cmp.Compare(a.Datacenter, b.Datacenter),
	)
}
