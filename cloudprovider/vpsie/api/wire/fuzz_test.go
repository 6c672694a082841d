// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func FuzzParseEnvelope(f *testing.F) {
	for _, seed := range []string{
		`{"error":false,"data":[{"id":1}],"total ":1}`, `{"error":true,"code":1,"message":"no"}`, `{"error":"x","data":false}`,
		`<html></html>`, ``, `{"error":{"a":[1]},"message":5}`, `{"error":false,"data":{"rows":[],"count":0}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := ParseEnvelope(body)
		if err == nil && !json.Valid(body) {
			t.Errorf("%q is not JSON and was read as %+v", body, e)
		}
		if err != nil && (e.Failed || e.Data != nil) {
			t.Errorf("%q has the error %v and the value %+v", body, err, e)
		}
		if len(e.Data) > 0 && !json.Valid(e.Data) {
			t.Errorf("%q has broken data %q", body, e.Data)
		}
	})
}

// FuzzClusterWithNodes looks for answers that make a machine appear twice, or with amounts that cannot be compared.
func FuzzClusterWithNodes(f *testing.F) {
	for _, seed := range []string{
		`{"identifier":"k","nodes":[{"identifier":"a","cpu":"2"},{"identifier":"b","is_deleted":"0"}]}`,
		`{"identifier":"k","masters":[{"identifier":"m"}],"slaves":[{"identifier":"a"}]}`,
		`{"identifier":"k","nodes":false}`, `{"identifier":5,"nodes":{"rows":[null]}}`, `false`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ClusterWithNodes(data)
		if err != nil {
			return
		}
		if c.Identifier == "" {
			t.Errorf("%q is a cluster without identifier", data)
		}
		seen := map[string]bool{}
		for _, n := range c.Nodes {
			if n.Identifier != "" && seen[n.Identifier] {
				t.Errorf("%q lists machine %q twice", data, n.Identifier)
			}
			seen[n.Identifier] = true
			if n.CPUs != n.CPUs || math.IsInf(n.CPUs, 0) || n.Status != strings.ToLower(n.Status) {
				t.Errorf("%q has the machine %+v", data, n)
			}
		}
	})
}

func FuzzOffers(f *testing.F) {
	for _, seed := range []string{
		`[{"id":1,"name":"a","cpu":2,"ram":4096,"disk":80,"price":24,"hourly_price":0.0333}]`,
		`[{"id":"1","nickname":"a","cpu":"2","ram":"1e999","ssd":-1,"price":"NaN"}]`, `{"rows":[]}`, `[{"id":1e17}]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		offers, err := Offers(data)
		if err != nil && len(offers) > 0 {
			t.Errorf("%q has the error %v and the offers %+v", data, err, offers)
		}
		for _, o := range offers {
			for _, amount := range []float64{o.CPUs, o.MonthlyPrice, o.HourlyPrice} {
				if amount != amount || math.IsInf(amount, 0) {
					t.Errorf("%q has the offer %+v", data, o)
				}
			}
			if o.SizeID <= 0 {
				t.Errorf("%q has the offer %+v", data, o)
			}
		}
	})
}

// FuzzNodeGroups looks for groups that a worker could be bought into by mistake: without a number, or with a size that VPSie did
// not tell.
func FuzzNodeGroups(f *testing.F) {
	for _, seed := range []string{
		`[{"id":71,"group_name":"g","boxsize_id":3,"is_deleted":0,"dcIdentifier":"d"}]`, `[{"id":"71","boxsize_id":"3","is_deleted":true}]`,
		`[{"id":-1}]`, `{"rows":[{"id":1e300,"boxsize_id":null}],"count":1}`, `[null]`, `false`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		groups, err := NodeGroups(data)
		if err != nil && len(groups) > 0 {
			t.Errorf("%q has the error %v and the groups %+v", data, err, groups)
		}
		for _, g := range groups {
			if g.ID <= 0 || g.SizeID < 0 {
				t.Errorf("%q has the group %+v", data, g)
			}
		}
	})
}

// FuzzReference looks for rows without the identifier that they would be asked for by.
func FuzzReference(f *testing.F) {
	for _, seed := range []string{
		`[{"dc_name":"Helsinki","identifier":"d","is_active":1,"is_deleted":"0"}]`, `[{"cluster_name":"c","identifier":"k","lock":1,"lb_id":null,"price":"24.5"}]`,
		`{"rows":[{"identifier":7}]}`, `[{}]`, `[[]]`, `{"rows":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		datacenters, err := Datacenters(data)
		for _, d := range datacenters {
			if d.Identifier == "" || err != nil {
				t.Errorf("%q has the datacenter %+v and the error %v", data, d, err)
			}
		}
		clusters, err := Clusters(data)
		for _, c := range clusters {
			if c.Identifier == "" || err != nil {
				t.Errorf("%q has the cluster %+v and the error %v", data, c, err)
			}
		}
	})
}

// FuzzToken looks for answers to an exchange that are taken for a token although there is none, and for errors that quote one.
func FuzzToken(f *testing.F) {
	for _, seed := range []string{
		`{"error":false,"token":{"access":{"token":"s3cret","expires":"2030-01-01T00:00:00Z"}}}`, `{"accessToken":{"token":"s3cret","expires":"soon"}}`,
		`{"token":"s3cret"}`, `{"token":{"access":{"token":5}}}`, `{"token":null,"accessToken":[]}`, `[]`, `<html>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		token, expires, err := Token(body)
		if err == nil && token == "" || err != nil && (token != "" || !expires.IsZero()) {
			t.Errorf("%q was read as %q until %v, error %v", body, token, expires, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q comes out as %v", body, err)
		}
	})
}

// FuzzScalars looks for words that one type reads and another cannot bear, and for amounts that cannot be compared.
func FuzzScalars(f *testing.F) {
	for _, seed := range []string{`1`, `"1"`, `true`, `"false"`, `null`, `1e999`, `"12,50"`, `-0`, `""`, `{}`, `" 7 "`, `"0x10"`, `"Infinity"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			t.Skip("no JSON")
		}
		var n number
		if err := json.Unmarshal(data, &n); err == nil && (math.IsNaN(float64(n)) || math.IsInf(float64(n), 0)) {
			t.Errorf("%q is the number %v", data, n)
		}
		var yes flag
		var word text
		flagErr, textErr := json.Unmarshal(data, &yes), json.Unmarshal(data, &word)
		if flagErr == nil && textErr == nil && bool(yes) && (word == "0" || strings.EqualFold(string(word), "false")) {
			t.Errorf("%q is true and the word %q", data, word)
		}
	})
}
