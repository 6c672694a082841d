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
