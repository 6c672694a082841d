// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim

import (
	"net/http"
	"net/url"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

// datacenterRow has no code: VPSie does not list one.
type datacenterRow struct {
	Name              string `json:"dc_name"`
	Image             string `json:"dc_image"`
	State             string `json:"state"`
	Country           string `json:"country"`
	IsActive          int    `json:"is_active"`
	Identifier        string `json:"identifier"`
	DefaultSelected   int    `json:"default_selected"`
	IsDeleted         int    `json:"is_deleted"`
	IsFIPAvailable    int    `json:"is_fip_available"`
	IsBucketAvailable int    `json:"is_bucket_available"`
	IsPrivate         int    `json:"is_private"`
}

func (s *Server) listDatacenters(r *request) reply {
	from, to := r.window(len(s.catalogue.Datacenters))
	rows := make([]datacenterRow, 0, to-from)
	for i, dc := range s.catalogue.Datacenters[from:to] {
		row := datacenterRow{
			Name: dc.Name, State: dc.State, Country: dc.Country, Identifier: dc.Identifier,
			IsActive: 1, IsFIPAvailable: 1,
		}
		if from+i == 0 {
			row.DefaultSelected = 1
		}
		rows = append(rows, row)
	}
	return page(rows, len(s.catalogue.Datacenters))
}

type offerRow struct {
	ID          int     `json:"id"`
	Name        string  `json:"name"`
	CPU         int     `json:"cpu"`
	RAM         int     `json:"ram"`
	Disk        int     `json:"disk"`
	Price       float64 `json:"price"`
	HourlyPrice float64 `json:"hourly_price"`
}

func (s *Server) listOffers(r *request) reply {
	dc, message := s.requestedDatacenter(r.text("dcIdentifier"))
	if message != "" {
		return refused(message)
	}
	rows := make([]offerRow, 0, len(s.catalogue.Offers))
	for _, offer := range s.catalogue.Offers {
		price := dc.monthlyPrice(offer.PricePerMonth)
		rows = append(rows, offerRow{
			ID: offer.ID, Name: offer.Name, CPU: offer.CPU, RAM: offer.RAMMB, Disk: offer.DiskGB,
			Price: price, HourlyPrice: ledger.HourlyPrice(price),
		})
	}
	return list(rows)
}

func (s *Server) requestedDatacenter(identifier string) (dc Datacenter, message string) {
	if identifier == "" {
		return Datacenter{}, "dcIdentifier is required"
	}
	dc, _, ok := s.catalogue.datacenter(func(dc Datacenter) bool { return dc.Identifier == identifier })
	if !ok {
		return Datacenter{}, messageNoDatacenter
	}
	return dc, ""
}

type projectRow struct {
	ID          int    `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	CreatedOn   string `json:"created_on"`
	UpdatedAt   string `json:"updated_at"`
	Identifier  string `json:"identifier"`
	CreatedBy   string `json:"created_by"`
	IsDefault   int    `json:"is_default"`
}

// listProjects has the other list shape: rows and count inside data.
func (s *Server) listProjects(*request) reply {
	return found(map[string]any{
		"rows": []projectRow{{
			ID: projectID, Name: "default", CreatedOn: isoTime(s.cluster.created), UpdatedAt: isoTime(s.cluster.created),
			Identifier: s.identifier("project"), CreatedBy: "simulator", IsDefault: 1,
		}},
		"count": 1,
	})
}

type categoryRow struct {
	Identifier string `json:"identifier"`
	Name       string `json:"name"`
}

func (s *Server) listPlanCategories(*request) reply {
	rows := make([]categoryRow, 0, len(s.catalogue.Categories))
	for _, category := range s.catalogue.Categories {
		rows = append(rows, categoryRow(category))
	}
	return list(rows)
}

type planRow struct {
	Identifier string  `json:"identifier"`
	Nickname   string  `json:"nickname"`
	CPU        int     `json:"cpu"`
	RAM        int     `json:"ram"`
	SSD        int     `json:"ssd"`
	Traffic    int     `json:"traffic"`
	Price      float64 `json:"price"`
	NetSpeed   int     `json:"net_speed"`
}

// listPlans takes a form, unlike every other call, and gives each plan one identifier per datacenter.
func (s *Server) listPlans(r *request) reply {
	form, err := url.ParseQuery(string(r.body))
	if err != nil {
		return failed(http.StatusBadRequest, messageBadBody)
	}
	for _, field := range []string{"osIdentifier", "planCatIdentifier"} {
		if form.Get(field) == "" {
			return refused(messageFieldRequired, field)
		}
	}
	dc, message := s.requestedDatacenter(form.Get("dcIdentifier"))
	if message != "" {
		return refused(message)
	}
	wanted := ""
	for _, category := range s.catalogue.Categories {
		if category.Identifier == form.Get("planCatIdentifier") {
			wanted = category.Name
		}
	}
	rows := []planRow{}
	for _, plan := range s.catalogue.Plans {
		if plan.Category == wanted {
			rows = append(rows, planRow{
				Identifier: s.identifier("plan", plan.Name, dc.Identifier), Nickname: plan.Name, CPU: plan.CPU, RAM: plan.RAMMB,
				SSD: plan.SSDGB, Traffic: plan.TrafficGB, Price: dc.monthlyPrice(plan.PricePerMonth), NetSpeed: plan.NetSpeedMbps,
			})
		}
	}
	return list(rows)
}
