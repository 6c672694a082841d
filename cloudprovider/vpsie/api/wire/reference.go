// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"cmp"
	"encoding/json"
	"errors"
)

// Datacenter is a place where machines are bought.
type Datacenter struct {
	Identifier string
	Name       string
	Country    string
	Active     bool
}

// Offer is a size of worker. Amounts that VPSie did not tell are 0.
type Offer struct {
	SizeID       int64 // KubeSizeID; boxsize_id of node groups
	Name         string
	Category     string
	CPUs         float64
	MemoryMB     int64
	DiskGB       int64
	MonthlyPrice float64
	HourlyPrice  float64
}

// NodeGroup is VPSie's: the workers of one size in one cluster.
type NodeGroup struct {
	ID         int64
	Name       string
	SizeID     int64
	Datacenter string // identifier
	Project    string // number; empty where VPSie does not tell
	Deleted    bool
}

func (d *Datacenter) decode(data []byte) error {
	var w struct {
		Identifier text  `json:"identifier"`
		Name       text  `json:"dc_name"`
		Country    text  `json:"country"`
		Active     *flag `json:"is_active"`
		Deleted    flag  `json:"is_deleted"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return errors.New("a datacenter has an unknown shape")
	}
	*d = Datacenter{
		Identifier: string(w.Identifier), Name: string(w.Name), Country: string(w.Country),
		Active: (w.Active == nil || bool(*w.Active)) && !bool(w.Deleted),
	}
	if d.Identifier == "" {
		return missing("a datacenter", "identifier")
	}
	return nil
}

func (o *Offer) decode(data []byte) error {
	var w struct {
		ID       number `json:"id"`
		Name     text   `json:"name"`
		Nickname text   `json:"nickname"`
		Category text   `json:"category"`
		CPU      number `json:"cpu"`
		RAM      number `json:"ram"`
		Disk     number `json:"disk"`
		SSD      number `json:"ssd"`
		Price    number `json:"price"`
		Hourly   number `json:"hourly_price"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return errors.New("an offer has an unknown shape")
	}
	*o = Offer{
		SizeID: w.ID.whole(), Name: string(cmp.Or(w.Name, w.Nickname)), Category: string(w.Category),
		CPUs: float64(w.CPU), MemoryMB: w.RAM.whole(), DiskGB: cmp.Or(w.Disk, w.SSD).whole(),
		MonthlyPrice: float64(w.Price), HourlyPrice: float64(w.Hourly),
	}
	if o.SizeID <= 0 {
		return missing("an offer", "id")
	}
	return nil
}

func (g *NodeGroup) decode(data []byte) error {
	var w struct {
		ID         number `json:"id"`
		Name       text   `json:"group_name"`
		SizeID     number `json:"boxsize_id"`
		Datacenter text   `json:"dcIdentifier"`
		Project    text   `json:"project_id"`
		Deleted    flag   `json:"is_deleted"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return errors.New("a node group has an unknown shape")
	}
	*g = NodeGroup{
		ID: w.ID.whole(), Name: string(w.Name), SizeID: w.SizeID.whole(),
		Datacenter: string(w.Datacenter), Project: string(w.Project), Deleted: bool(w.Deleted),
	}
	if g.ID <= 0 {
		return missing("a node group", "id")
	}
	return nil
}

// missing says which thing lacks which field.
func missing(what, field string) error { return errors.New(what + " has no " + field) }
