// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
)

// TestNoSecretReachesAConditionALogOrAMetric lets VPSie echo the credentials in every answer, and greps all that this provider lets
// out: errors become conditions and events.
func TestNoSecretReachesAConditionALogOrAMetric(t *testing.T) {
	const secret = "s3cret-token"
	for name, answer := range map[string]string{
		"a refusal":            `{"error":true,"message":"who is ` + secret + `?"}`,
		"a lock-out":           `401 {"error":true,"message":"` + secret + ` has expired"}`,
		"a gateway's page":     `502 <html>` + secret,
		"an answer in pieces":  `{"error":false,"data":[{"identifier":"` + secret + `"`,
		"a name of a cluster":  `{"error":false,"data":[{"identifier":"a","cluster_name":"` + secret + `"},{"identifier":"b","cluster_name":"x"}]}`,
		"a cluster of another": `{"error":false,"data":{"identifier":"` + secret + `","nodes":[]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				logger := funcr.New(func(prefix, args string) { out.WriteString(prefix + args + "\n") }, funcr.Options{Verbosity: 10})
				registry := prometheus.NewPedanticRegistry()
				answers := map[string][]string{}
				for route := range defaults() {
					answers[route] = []string{defaults()[route], answer}
				}
				answers[clusters] = []string{answer, defaults()[clusters], answer}
				client, err := api.New(api.Options{
					Credentials: api.Static(api.Credentials{Token: secret}), Transport: newScript(answers), Registerer: registry, Logger: logger, RequestsPerMinute: 60_000,
				})
				if err != nil {
					t.Fatal(err)
				}
				provider, err := New(client, Options{Registerer: registry, Logger: logger})
				if err != nil {
					t.Fatal(err)
				}
				for range 3 {
					_, offers := provider.Offerings(t.Context())
					_, inventory := provider.Inventory(t.Context())
					order := provider.Order(t.Context(), cloudprovider.Order{Name: "vn", OfferingID: "12", Datacenter: helsinki})
					err := errors.Join(provider.Ready(t.Context()), offers, inventory, order, provider.Release(t.Context(), "w"))
					fmt.Fprintf(&out, "%v %+v %q\n", err, err, err)
				}
				families, err := registry.Gather()
				if err != nil {
					t.Fatal(err)
				}
				for _, family := range families {
					out.WriteString(family.String())
				}
				if strings.Contains(out.String(), secret) {
					t.Errorf("the token came out:\n%s", out.String())
				}
				if !strings.Contains(out.String(), "errors_total") {
					t.Errorf("nothing was recorded:\n%s", out.String())
				}
			})
		})
	}
}
