// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestParseBaseURL(t *testing.T) {
	for name, test := range map[string]struct{ text, want, problem string }{
		"host only":                  {text: "https://api.vpsie.com", want: "https://api.vpsie.com/apps/v2"},
		"with a slash":               {text: "https://api.vpsie.com/", want: "https://api.vpsie.com/apps/v2"},
		"with the path":              {text: "https://api.vpsie.com/apps/v2", want: "https://api.vpsie.com/apps/v2"},
		"with the path and a slash":  {text: " https://api2.vpsie.com/apps/v2/\n", want: "https://api2.vpsie.com/apps/v2"},
		"behind a proxy's prefix":    {text: "https://proxy.example/vpsie/apps/v2", want: "https://proxy.example/vpsie/apps/v2"},
		"plain http to this machine": {text: "http://127.0.0.1:8080", want: "http://127.0.0.1:8080/apps/v2"},
		"plain http to localhost":    {text: "http://localhost:8080", want: "http://localhost:8080/apps/v2"},
		"plain http to ::1":          {text: "http://[::1]:8080", want: "http://[::1]:8080/apps/v2"},
		"plain http to the world":    {text: "http://api.vpsie.com", problem: `"http://api.vpsie.com" would send the credentials unencrypted; write https://api.vpsie.com`},
		"no scheme":                  {text: "api.vpsie.com", problem: `"api.vpsie.com" has no scheme; write https://api.vpsie.com`},
		"no scheme but a port":       {text: "api.vpsie.com:443", problem: `"api.vpsie.com:443" has no scheme; write https://api.vpsie.com`},
		"nothing":                    {text: "", problem: `"" has no scheme; write https://api.vpsie.com`},
		"no host":                    {text: "https://", problem: `"https://" has no host; write https://api.vpsie.com`},
		"no URL":                     {text: "https://a b", problem: `"https://a b" is not a URL; write https://api.vpsie.com`},
		"another scheme":             {text: "ftp://api.vpsie.com", problem: `"ftp://api.vpsie.com" has the scheme "ftp"; write https://api.vpsie.com`},
		"the first autoscaler's":     {text: "https://api.vpsie.com/v2", problem: `"https://api.vpsie.com/v2" has a path that does not end in /apps/v2; leave the path out`},
		"a query":                    {text: "https://api.vpsie.com?x=1", problem: `"https://api.vpsie.com?x=1" has a query or fragment; write scheme and host only`},
		"a password, not quoted":     {text: "https://me:s3cret@api.vpsie.com", problem: `the URL holds a user name; credentials go into keys of their own`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseBaseURL(test.text)
			if errorText(err) != test.problem {
				t.Fatalf("got  %v\nwant %s", err, test.problem)
			}
			if err == nil && got.String() != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestNewRefusesOptions(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"without credentials":  {func(o *Options) { o.Credentials = nil }, "option Credentials is missing; give a Source, for example api.Static"},
		"with a negative rate": {func(o *Options) { o.RequestsPerMinute = -1 }, "option RequestsPerMinute is negative; leave it out or set it above 0"},
		"with two mistakes": {
			func(o *Options) { o.Timeout, o.ReadAttempts = -1, -1 },
			"option Timeout is negative; leave it out or set it above 0\noption ReadAttempts is negative; leave it out or set it above 0",
		},
		"with a wrong URL": {func(o *Options) { o.BaseURL = "vpsie" }, `reading option BaseURL: "vpsie" has no scheme; write https://api.vpsie.com`},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Credentials: Static(Credentials{Token: "t"})}
			test.change(&o)
			if _, err := New(o); errorText(err) != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
	t.Run("metrics that are there already", func(t *testing.T) {
		o := Options{Credentials: Static(Credentials{Token: "t"}), Registerer: prometheus.NewRegistry()}
		_, first := New(o)
		if _, second := New(o); first != nil || second == nil {
			t.Errorf("got %v, then %v", first, second)
		}
	})
}

func TestDefaultTransportVerifies(t *testing.T) {
	o := Options{}
	o.setDefaults()
	transport, ok := o.Transport.(*http.Transport)
	if !ok || transport.TLSClientConfig.InsecureSkipVerify || transport.TLSClientConfig.MinVersion < 0x0303 {
		t.Errorf("got %#v", transport.TLSClientConfig)
	}
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		vpsie := newCloud(accepted, reply(200, `{"error":true}`), reply(401, ""), reply(429, ""), gateway, reply(200, "x"), lose(errReset))
		client := newClient(t, vpsie, func(o *Options) { o.Registerer, o.RequestsPerMinute = registry, 10 })
		for range 7 {
			_ = client.AddWorker(t.Context(), "k", 1, "vn")
		}
		got := map[string]float64{}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				name := family.GetName()
				for _, label := range m.GetLabel() {
					name += " " + label.GetName() + "=" + label.GetValue()
				}
				got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
		requests := "vpsie_autoscaler_cloudprovider_requests_total endpoint=addWorker outcome="
		want := map[string]float64{
			requests + "ok": 1, requests + "refused": 1, requests + "unauthorized": 1, requests + "rateLimited": 1,
			requests + "serverError": 1, requests + "malformed": 1, requests + "unreachable": 1,
			"vpsie_autoscaler_cloudprovider_request_duration_seconds endpoint=addWorker": 7,
			"vpsie_autoscaler_cloudprovider_breaker_state":                               0,
			"vpsie_autoscaler_cloudprovider_throttled_seconds_total":                     40, // 9 a minute after a burst of one
		}
		approximately := cmp.Comparer(func(a, b float64) bool { return a-b < 0.1 && b-a < 0.1 })
		if diff := cmp.Diff(want, got, approximately); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
