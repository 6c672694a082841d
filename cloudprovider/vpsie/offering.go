// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api/wire"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// arch is that of every machine VPSie is known to sell.
const arch = "amd64"

// shape is the size of a machine as sold.
type shape struct{ cpuMilli, memoryMiB, diskGiB int64 }

// matches compares what VPSie told about the machine.
func (s shape) matches(n wire.Node) bool {
	cpu := cpuMilli(n.CPUs)
	return (cpu == 0 || cpu == s.cpuMilli) && (n.MemoryMB == 0 || n.MemoryMB == s.memoryMiB) && (n.DiskGB == 0 || n.DiskGB == s.diskGiB)
}

func cpuMilli(cpus float64) int64 {
	if cpus <= 0 || cpus > 1<<20 {
		return 0
	}
	return int64(math.Round(cpus * 1000))
}

// offeringsIn turns offers into offerings, cheapest first, then by identifier, and counts those that it left out: without
// a size nothing can be placed, and without a price an offer would look cheaper than all others.
func offeringsIn(d wire.Datacenter, offers []wire.Offer) (offerings []scheduling.Offering, left int) {
	seen := map[int64]bool{}
	for _, o := range offers {
		price := priceOf(o)
		cpu := cpuMilli(o.CPUs)
		if cpu <= 0 || o.MemoryMB <= 0 || price <= 0 || seen[o.SizeID] {
			left++
			continue
		}
		seen[o.SizeID] = true
		id := strconv.FormatInt(o.SizeID, 10)
		offerings = append(offerings, scheduling.Offering{
			ID: id, Name: cmp.Or(labelValue(o.Name), "size-"+id), Category: categoryOf(o),
			Datacenter: d.Identifier, DatacenterName: d.Name, Zone: labelValue(d.Identifier), Region: regionOf(d), Arch: arch,
			CPUMilli: cpu, MemoryMiB: o.MemoryMB, DiskGiB: max(o.DiskGB, 0), Price: price,
		})
	}
	slices.SortFunc(offerings, func(a, b scheduling.Offering) int {
		return cmp.Or(cmp.Compare(a.Price, b.Price), cmp.Compare(a.ID, b.ID))
	})
	return offerings, left
}

// mostPerHour keeps nonsense from overflowing a Price.
const mostPerHour = 1e6

// priceOf counts by the price per month, which is what VPSie bills from; the one per hour is for offers without it.
func priceOf(o wire.Offer) scheduling.Price {
	switch {
	case o.MonthlyPrice > 0 && o.MonthlyPrice < mostPerHour*scheduling.HoursPerMonth:
		return scheduling.PerMonth(o.MonthlyPrice)
	case o.MonthlyPrice == 0 && o.HourlyPrice > 0 && o.HourlyPrice < mostPerHour:
		return scheduling.PerHour(o.HourlyPrice)
	}
	return 0
}

// categoryOf reads the category, where VPSie tells it, else the words of the name; empty if they say nothing.
func categoryOf(o wire.Offer) string {
	for _, source := range []string{o.Category, o.Name} {
		words := strings.FieldsFunc(strings.ToLower(source), func(r rune) bool { return !unicode.IsLetter(r) })
		for _, category := range []string{"shared", "memory", "compute", "general"} {
			if slices.Contains(words, category) {
				return category
			}
		}
	}
	return strings.ToLower(labelValue(o.Category))
}

// regionOf is the datacenter's name without its country, in lower case with hyphens.
func regionOf(d wire.Datacenter) string {
	name := strings.ToLower(d.Name)
	if country := strings.ToLower(d.Country); country != "" && country != name {
		name = strings.TrimRight(name, " ()")
		name = strings.TrimSuffix(name, country)
	}
	return cmp.Or(labelValue(name), labelValue(d.Identifier))
}

// labelValue makes a text fit for a label's value: runs of other characters become one hyphen.
func labelValue(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)), r == '.', r == '_':
			b.WriteRune(r)
		case !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	value := b.String()
	value = value[:min(len(value), 63)]
	return strings.Trim(value, "-._")
}
