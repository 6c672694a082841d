// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
)

func TestNewNamesTheOptionThatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*vpsiesim.Options)
		want   string
	}{
		"no credentials":            {func(o *vpsiesim.Options) { o.Token = "" }, "option Token"},
		"half a pair":               {func(o *vpsiesim.Options) { o.ClientSecret = "x" }, "options ClientID and ClientSecret"},
		"an unknown datacenter":     {func(o *vpsiesim.Options) { o.DatacenterCode = "XXX" }, `option DatacenterCode: the catalogue has no datacenter "XXX", it has HEL, AMS`},
		"an unknown default size":   {func(o *vpsiesim.Options) { o.DefaultSizeID = 99 }, "option DefaultSizeID"},
		"a negative limit":          {func(o *vpsiesim.Options) { o.WorkerLimit = -1 }, "option workerLimit: -1"},
		"a limit beyond hostnames":  {func(o *vpsiesim.Options) { o.WorkerLimit = 20000 }, "option workerLimit: 20000"},
		"a range turned around":     {func(o *vpsiesim.Options) { o.BootDelay = vpsiesim.Range{Min: 2, Max: 1} }, "option bootDelay: min 2ns is above max 1ns"},
		"a negative delay":          {func(o *vpsiesim.Options) { o.DeleteDelay = -time.Second }, "option deleteDelay: -1s is negative"},
		"a token dead when born":    {func(o *vpsiesim.Options) { o.TokenLifetime = -1 }, "option TokenLifetime"},
		"a catalogue without goods": {func(o *vpsiesim.Options) { o.Catalogue = &vpsiesim.Catalogue{Currency: "USD"} }, `option Catalogue: field "datacenters": needs at least one`},
	} {
		t.Run(name, func(t *testing.T) {
			options := vpsiesim.Options{Token: token}
			test.change(&options)
			if _, err := vpsiesim.New(options); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestTheZeroOptionsNeedOnlyCredentials(t *testing.T) {
	if _, err := vpsiesim.New(vpsiesim.Options{Token: token}); err != nil {
		t.Error(err)
	}
}

func TestEitherHeaderAdmitsAGoodTokenAndNothingElseDoes(t *testing.T) {
	for name, test := range map[string]struct {
		headers []string
		want    int
	}{
		"the static token in Vpsie-Auth":    {nil, http.StatusOK},
		"the static token as bearer":        {[]string{"Vpsie-Auth", "", "Authorization", "Bearer " + token}, http.StatusOK},
		"the right one beside a wrong one":  {[]string{"Authorization", "Bearer wrong"}, http.StatusOK},
		"a wrong token":                     {[]string{"Vpsie-Auth", "wrong"}, http.StatusUnauthorized},
		"no token":                          {[]string{"Vpsie-Auth", ""}, http.StatusUnauthorized},
		"an empty bearer":                   {[]string{"Vpsie-Auth", "", "Authorization", "Bearer "}, http.StatusUnauthorized},
		"the client secret is not a token":  {[]string{"Vpsie-Auth", "secret"}, http.StatusUnauthorized},
		"a token with something in front":   {[]string{"Vpsie-Auth", "x" + token}, http.StatusUnauthorized},
		"a token in another letter case":    {[]string{"Vpsie-Auth", strings.ToUpper(token)}, http.StatusUnauthorized},
		"the static token as basic is none": {[]string{"Vpsie-Auth", "", "Authorization", "Basic " + token}, http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			got := newWorld(t, nil).call("GET", "/apps/v2/datacenter", "", test.headers...)
			if got.status != test.want || got.Error != (test.want != http.StatusOK) {
				t.Fatalf("the answer is %d %s, want %d", got.status, got.raw, test.want)
			}
			if got.Error && got.Message != "Please authenticate" {
				t.Errorf("the message is %q", got.Message)
			}
		})
	}
}

func TestNoCallIsServedWithoutCredentials(t *testing.T) {
	w := newWorld(t, nil)
	w.mustOrder(w.groups()[0].ID)
	for _, call := range []string{
		"GET /apps/v2/datacenter", "GET /apps/v2/projects", "POST /apps/v2/k8s/offers", "GET /apps/v2/k8s/cluster/all",
		"GET /apps/v2/k8s/cluster/byId/C", "GET /apps/v2/k8s/node/groups/byClusterId/C", "POST /apps/v2/k8s/cluster/add/group",
		"DELETE /apps/v2/k8s/cluster/delete/group/4101", "POST /apps/v2/k8s/cluster/byId/C/add/slave/group/4101",
		"POST /apps/v2/k8s/cluster/byId/C/add/slave", "DELETE /apps/v2/k8s/cluster/byId/C/delete/slave",
		"DELETE /apps/v2/k8s/cluster/byId/C/reduce/slave", "GET /api/v2/plans/category", "POST /apps/v2/resources",
	} {
		method, path, _ := strings.Cut(strings.ReplaceAll(call, "/C", "/"+w.cluster), " ")
		if got := w.call(method, path, "", "Vpsie-Auth", "wrong"); got.status != http.StatusUnauthorized {
			t.Errorf("%s answered %d %s, want 401", call, got.status, got.raw)
		}
	}
	if report := w.book(); len(report.Orders) != 1 || report.Spend.Machines != 1 {
		t.Errorf("calls without credentials changed the ledger: %+v", report)
	}
}

func TestClientCredentialsAreExchangedForATokenThatExpires(t *testing.T) {
	type tokens struct {
		Error bool `json:"error"`
		Token struct {
			Access struct {
				Token   string    `json:"token"`
				Expires time.Time `json:"expires"`
			} `json:"access"`
		} `json:"token"`
		AccessToken struct {
			Token string `json:"token"`
		} `json:"accessToken"`
	}
	for name, test := range map[string]struct{ body, contentType string }{
		"asked in JSON":     {`{"clientId":"id","clientSecret":"secret"}`, "application/json"},
		"asked with a form": {"clientId=id&clientSecret=secret", "application/x-www-form-urlencoded"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *vpsiesim.Options) { o.TokenLifetime = 10 * time.Minute })
			got := w.call("POST", "/apps/v2/auth/from/api", test.body, "Vpsie-Auth", "", "Content-Type", test.contentType)
			var pair tokens
			mustUnmarshal(t, got.raw, &pair)
			access := pair.Token.Access
			if got.status != http.StatusOK || pair.Error || access.Token == "" || pair.AccessToken.Token != access.Token {
				t.Fatalf("the exchange answered %d %s, want one token in both shapes", got.status, got.raw)
			}
			if want := start().Add(10 * time.Minute); !access.Expires.Equal(want) {
				t.Errorf("the token expires %s, want %s", access.Expires, want)
			}
			with := func(headers ...string) int { return w.call("GET", "/apps/v2/datacenter", "", headers...).status }
			use := func() [2]int {
				return [2]int{with("Vpsie-Auth", access.Token), with("Vpsie-Auth", "", "Authorization", "Bearer "+access.Token)}
			}
			w.clock.Step(10*time.Minute - time.Second)
			if got, want := use(), [2]int{200, 200}; got != want {
				t.Errorf("a second before it expires: %v, want %v", got, want)
			}
			w.clock.Step(time.Second)
			if got, want := use(), [2]int{401, 401}; got != want {
				t.Errorf("once it has expired: %v, want %v", got, want)
			}
		})
	}
}

func TestWrongClientCredentialsAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		body   string
		change func(*vpsiesim.Options)
	}{
		"a wrong secret":              {`{"clientId":"id","clientSecret":"SECRET"}`, nil},
		"a wrong id":                  {`{"clientId":"ID","clientSecret":"secret"}`, nil},
		"nothing":                     {``, nil},
		"fields in other letter case": {`{"clientID":"id","clientSecret":"secret"}`, nil},
		"an account without a pair": {`{"clientId":"","clientSecret":""}`, func(o *vpsiesim.Options) {
			o.ClientID, o.ClientSecret = "", ""
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := newWorld(t, test.change).call("POST", "/apps/v2/auth/from/api", test.body)
			if got.status != http.StatusUnauthorized || got.Message != "Please authenticate" {
				t.Errorf("the answer is %d %s", got.status, got.raw)
			}
		})
	}
}

func TestTheEnvelopeHasTheQuirksOfVPSie(t *testing.T) {
	const nobody = "00000000-0000-0000-0000-000000000000"
	for name, test := range map[string]struct{ method, path, body, want string }{
		"a cluster that is not there is false":            {"GET", "/apps/v2/k8s/cluster/byId/" + nobody, "", `200 {"error":false,"data":false}`},
		"groups of a cluster that is not there are false": {"GET", "/apps/v2/k8s/node/groups/byClusterId/" + nobody, "", `200 {"error":false,"data":false}`},
		"a route that is not there":                       {"GET", "/apps/v2/offerings", "", `404 {"error":true,"code":404,"message":"Not found","stack":""}`},
		"a method that is not there":                      {"PUT", "/apps/v2/datacenter", "", `404 {"error":true,"code":404,"message":"Not found","stack":""}`},
		"an order is confirmed with true and no more":     {"POST", "/apps/v2/k8s/cluster/byId/CLUSTER/add/slave", "", `200 {"error":false,"data":true}`},
		"a refusal is HTTP 200":                           {"POST", "/apps/v2/k8s/cluster/byId/" + nobody + "/add/slave", "", `200 {"error":true,"code":200,"message":"Cluster not found","stack":""}`},
		"offers of nowhere are refused":                   {"POST", "/apps/v2/k8s/offers", `{"dcIdentifier":"x"}`, `200 {"error":true,"code":200,"message":"Datacenter not found","stack":""}`},
		"offers need a datacenter":                        {"POST", "/apps/v2/k8s/offers", `{"dcidentifier":"x"}`, `200 {"error":true,"code":200,"message":"dcIdentifier is required","stack":""}`},
		"a size is named with a capital K":                {"POST", "/apps/v2/k8s/cluster/add/group", `{"clusterIdentifier":"CLUSTER","groupName":"g","kubeSizeID":2}`, `200 {"error":true,"code":200,"message":"KubeSizeID is required","stack":""}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			in := strings.NewReplacer("CLUSTER", w.cluster)
			got := w.call(test.method, in.Replace(test.path), in.Replace(test.body))
			if text := strings.TrimSpace(fmt.Sprintf("%d %s", got.status, got.raw)); text != test.want {
				t.Errorf("the answer is\n%s, want\n%s", text, test.want)
			}
		})
	}
}

func TestABodyIsReadOnlyAsWhatItIsSaidToBe(t *testing.T) {
	w := newWorld(t, nil)
	got := w.call("POST", "/apps/v2/k8s/cluster/add/group", groupBody(w.cluster, "g", 2), "Content-Type", "text/plain")
	if got.Message != "KubeSizeID is required" {
		t.Errorf("a JSON body sent as text was answered %s", got.raw)
	}
}

func TestDatacentersArePaged(t *testing.T) {
	for query, want := range map[string][]string{
		"":                   {"Helsinki", "Amsterdam", "Frankfurt", "London", "New York", "Dallas", "Fremont", "Singapore"},
		"?offset=0&limit=2":  {"Helsinki", "Amsterdam"},
		"?offset=3&limit=2":  {"London", "New York"},
		"?offset=7&limit=20": {"Singapore"},
		"?offset=8&limit=20": {},
		"?limit=0":           {},
		"?offset=-3&limit=1": {"Helsinki"},
		"?offset=6&limit20":  {"Fremont", "Singapore"},
	} {
		t.Run(query, func(t *testing.T) {
			got := newWorld(t, nil).call("GET", "/apps/v2/datacenter"+query, "")
			names := []string{}
			for _, row := range decode[[]struct {
				Name string `json:"dc_name"`
			}](t, got) {
				names = append(names, row.Name)
			}
			if diff := cmp.Diff(want, names); diff != "" {
				t.Error(diff)
			}
			if got.Total == nil || *got.Total != 8 {
				t.Errorf("total is %v, want 8", got.Total)
			}
		})
	}
}

func TestOffersCostWhatTheirDatacenterAsks(t *testing.T) {
	type offer struct {
		ID     int     `json:"id"`
		Name   string  `json:"name"`
		CPU    int     `json:"cpu"`
		RAM    int     `json:"ram"`
		Disk   int     `json:"disk"`
		Price  float64 `json:"price"`
		Hourly float64 `json:"hourly_price"`
	}
	for name, test := range map[string]struct {
		dc   string
		want offer
	}{
		"Helsinki": {"fb9c432d-72e0-52b5-b0d7-b4f151bdb763", offer{3, "Advanced", 8, 16384, 320, 96, 0.133333}},
		"London":   {"75371002-009b-5ccd-9e57-afeef8e5b9fb", offer{3, "Advanced", 8, 16384, 320, 100.8, 0.14}},
		"Dallas":   {"865b6780-2c47-58a6-9efb-6d537d1baca3", offer{3, "Advanced", 8, 16384, 320, 91.2, 0.126667}},
	} {
		t.Run(name, func(t *testing.T) {
			got := newWorld(t, nil).call("POST", "/apps/v2/k8s/offers", `{"dcIdentifier":"`+test.dc+`"}`)
			offers := decode[[]offer](t, got)
			if len(offers) != 12 {
				t.Fatalf("%d offers, want 12", len(offers))
			}
			if diff := cmp.Diff(test.want, offers[2]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlansAreListedForADatacenterAnImageAndACategory(t *testing.T) {
	type plan struct {
		Identifier string  `json:"identifier"`
		Nickname   string  `json:"nickname"`
		Price      float64 `json:"price"`
	}
	w := newWorld(t, nil)
	categories := decode[[]struct{ Identifier, Name string }](t, w.call("GET", "/api/v2/plans/category", ""))
	if len(categories) != 4 || categories[1].Name != "Compute Optimized" {
		t.Fatalf("the categories are %+v", categories)
	}
	listed := func(dc string) []plan {
		form := "dcIdentifier=" + dc + "&osIdentifier=os&planCatIdentifier=" + categories[1].Identifier + "&isCustom=0"
		return decode[[]plan](t, w.call("POST", "/apps/v2/resources", form, "Content-Type", "application/x-www-form-urlencoded"))
	}
	helsinki, london := listed("fb9c432d-72e0-52b5-b0d7-b4f151bdb763"), listed("75371002-009b-5ccd-9e57-afeef8e5b9fb")
	if len(helsinki) != 5 || helsinki[0].Nickname != "c-2vcpu-4gb" || helsinki[0].Price != 32 || london[0].Price != 33.6 {
		t.Errorf("the plans are %+v in Helsinki and %+v in London", helsinki, london)
	}
	if helsinki[0].Identifier == london[0].Identifier {
		t.Error("a plan has one identifier in two datacenters")
	}
	if got := w.call("POST", "/apps/v2/resources", `{"dcIdentifier":"x"}`); got.Message != "osIdentifier is required" {
		t.Errorf("a JSON body, which this call does not take, was answered %s", got.raw)
	}
}

func TestProjectsComeAsRowsAndCount(t *testing.T) {
	got := newWorld(t, nil).call("GET", "/apps/v2/projects", "")
	projects := decode[struct {
		Rows []struct {
			Identifier string `json:"identifier"`
			IsDefault  int    `json:"is_default"`
		} `json:"rows"`
		Count int `json:"count"`
	}](t, got)
	if projects.Count != 1 || len(projects.Rows) != 1 || projects.Rows[0].IsDefault != 1 || got.Total != nil {
		t.Errorf("the projects are %s", got.raw)
	}
}
