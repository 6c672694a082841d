// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
)

func TestTheEmbeddedCatalogueHoldsWhatTheSimulatorSells(t *testing.T) {
	catalogue, err := vpsiesim.EmbeddedCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	got := [...]int{len(catalogue.Datacenters), len(catalogue.Offers), len(catalogue.Categories), len(catalogue.Plans)}
	if want := [...]int{8, 12, 4, 21}; got != want {
		t.Errorf("datacenters, offers, categories and plans: %v, want %v", got, want)
	}
	if catalogue.Datacenters[0].Code != "HEL" {
		t.Errorf("the first datacenter is %q, want HEL", catalogue.Datacenters[0].Code)
	}
}

const smallCatalogue = `{
  "currency": "USD",
  "datacenters": [{"code": "AAA", "identifier": "dc-a", "name": "A", "state": "", "country": "", "priceMultiplier": 2}],
  "offers": [{"id": 5, "name": "Tiny", "cpu": 1, "ramMB": 1024, "diskGB": 10, "pricePerMonth": 7.2}],
  "versions": ["1.34.1"],
  "categories": [{"identifier": "cat-a", "name": "Shared CPU"}],
  "plans": [{"sizeId": 1, "name": "p", "category": "Shared CPU", "cpu": 1, "ramMB": 1, "ssdGB": 1, "trafficGB": 1, "netSpeedMbps": 1, "pricePerMonth": 1}]
}`

func TestLoadCatalogueNamesTheFieldThatIsWrong(t *testing.T) {
	for name, test := range map[string]struct{ old, new, want string }{
		"a field nobody knows":                {`"currency"`, `"colour": "red", "currency"`, `unknown field "colour"`},
		"a currency nobody pays in":           {`"USD"`, `"EUR"`, `field "currency": must be "USD", is "EUR"`},
		"no datacenter":                       {`"datacenters": [`, `"datacenters": [], "versions": [`, `cannot unmarshal object into Go struct field Catalogue.versions`},
		"a datacenter without a code":         {`"AAA"`, `""`, `field "datacenters[0].code": is empty`},
		"a datacenter that multiplies by 0":   {`"priceMultiplier": 2`, `"priceMultiplier": 0`, `field "datacenters[0].priceMultiplier": must be above 0, is 0`},
		"an offer without processors":         {`"Tiny", "cpu": 1`, `"Tiny", "cpu": 0`, `field "offers[0].cpu": must be at least 1, is 0`},
		"an offer that is free":               {`7.2`, `-1`, `field "offers[0].pricePerMonth": must be above 0, is -1`},
		"an offer with text for a number":     {`"Tiny", "cpu": 1`, `"Tiny", "cpu": "one"`, `offers.cpu`},
		"two offers with one id":              {`"offers": [`, `"offers": [{"id": 5, "name": "B", "cpu": 1, "ramMB": 1, "diskGB": 1, "pricePerMonth": 1},`, `field "offers[1].id": "5" is already used by "offers[0].id"`},
		"no versions":                         {`["1.34.1"]`, `[]`, `field "versions": needs at least one`},
		"a plan of a category nobody defined": {`"category": "Shared CPU"`, `"category": "Quantum"`, `field "plans[0].category": "Quantum" is not the name of a category`},
		"something after the end":             {`"pricePerMonth": 1}]` + "\n}", `"pricePerMonth": 1}]}{`, `more after the catalogue's closing brace`},
		"half a file":                         {`"versions"`, ``, `reading catalogue`},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(smallCatalogue, test.old) {
				t.Fatalf("%q is not in the catalogue", test.old)
			}
			path := filepath.Join(t.TempDir(), "catalogue.json")
			if err := os.WriteFile(path, []byte(strings.Replace(smallCatalogue, test.old, test.new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := vpsiesim.LoadCatalogue(path)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("the error is %v, want one with %q and the path", err, test.want)
			}
		})
	}
}

func TestLoadCatalogueRefusesAFileThatIsNotThere(t *testing.T) {
	_, err := vpsiesim.LoadCatalogue(filepath.Join(t.TempDir(), "nowhere.json"))
	if err == nil || !strings.Contains(err.Error(), "nowhere.json") {
		t.Errorf("the error is %v, want one that names the file", err)
	}
}

func TestAnotherCatalogueIsSold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalogue.json")
	if err := os.WriteFile(path, []byte(smallCatalogue), 0o600); err != nil {
		t.Fatal(err)
	}
	catalogue, err := vpsiesim.LoadCatalogue(path)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *vpsiesim.Options) { o.Catalogue = catalogue })
	offers := decode[[]struct {
		Price  float64 `json:"price"`
		Hourly float64 `json:"hourly_price"`
	}](t, w.call("POST", "/apps/v2/k8s/offers", `{"dcIdentifier":"dc-a"}`))
	if len(offers) != 1 || offers[0].Price != 14.4 || offers[0].Hourly != 0.02 {
		t.Errorf("the offers are %+v, want one at 14.4 a month and 0.02 an hour", offers)
	}
	if health, err := w.admin.Health(t.Context()); err != nil || health.ClusterName != "AAA-Kubernetes-49ab" {
		t.Errorf("the cluster is %q (%v), want AAA-Kubernetes-49ab", health.ClusterName, err)
	}
}
