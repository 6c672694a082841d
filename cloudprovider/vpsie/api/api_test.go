// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"
)

const base = "https://vpsie.example"

// seen is a request that reached VPSie.
type seen struct {
	Method, Path, Body string
	Auth, Bearer       string
	About              string
}

// cloud is a VPSie in memory: what it answers is scripted, what it was asked is kept. It has no network, so that time can be
// faked around it.
type cloud struct {
	mu      sync.Mutex
	seen    []seen
	answers []func(w http.ResponseWriter, r *http.Request) error // the last one is repeated
}

// RoundTrip makes the cloud a transport. An answer that is an error is a lost reply.
func (c *cloud) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	body := ""
	if r.Body != nil {
		text, _ := io.ReadAll(r.Body)
		body = string(text)
	}
	c.mu.Lock()
	c.seen = append(c.seen, seen{r.Method, r.URL.RequestURI(), body, r.Header.Get("Vpsie-Auth"), r.Header.Get("Authorization"), r.Header.Get("X-Request-Id")})
	answer := c.answers[min(len(c.seen), len(c.answers))-1]
	c.mu.Unlock()
	w := httptest.NewRecorder()
	if err := answer(w, r); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func (c *cloud) requests() []seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]seen{}, c.seen...)
}

func (c *cloud) count(path string) int {
	count := 0
	for _, r := range c.requests() {
		if strings.HasSuffix(r.Path, path) {
			count++
		}
	}
	return count
}

type answerer = func(http.ResponseWriter, *http.Request) error

func reply(status int, body string, headers ...string) answerer {
	return func(w http.ResponseWriter, _ *http.Request) error {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // fails where the status allows no body
		return nil
	}
}

func lose(err error) answerer { return func(http.ResponseWriter, *http.Request) error { return err } }

var (
	errReset = errors.New("connection reset by peer")
	accepted = reply(200, `{"error":false,"data":true}`)
	nothing  = reply(200, `{"error":false,"data":[]}`)
	gateway  = reply(502, "<html>bad gateway</html>", "Content-Type", "text/html")
)

func newCloud(answers ...answerer) *cloud { return &cloud{answers: answers} }

func newClient(t *testing.T, transport http.RoundTripper, change func(*Options)) *Client {
	t.Helper()
	o := Options{
		Credentials: Static(Credentials{Token: "tok-en"}), BaseURL: base, Transport: transport, Clock: clock.RealClock{},
	}
	if change != nil {
		change(&o)
	}
	client, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestRequestsAreWhatVPSieKnows(t *testing.T) {
	cluster := reply(200, `{"error":false,"data":{"identifier":"k/1","nodes":[]}}`)
	for name, test := range map[string]struct {
		answer answerer
		call   func(context.Context, *Client) error
		want   seen
	}{
		"ping": {nothing, func(ctx context.Context, c *Client) error { return c.Ping(ctx) }, seen{Method: "GET", Path: "/apps/v2/datacenter?limit=1&offset=0"}},
		"datacenters": {nothing, func(ctx context.Context, c *Client) error {
			_, err := c.Datacenters(ctx)
			return err
		}, seen{Method: "GET", Path: "/apps/v2/datacenter?limit=100&offset=0"}},
		"offers": {nothing, func(ctx context.Context, c *Client) error {
			_, err := c.KubernetesOffers(ctx, "dc-1")
			return err
		}, seen{Method: "POST", Path: "/apps/v2/k8s/offers", Body: `{"dcIdentifier":"dc-1"}`}},
		"clusters": {nothing, func(ctx context.Context, c *Client) error {
			_, err := c.Clusters(ctx)
			return err
		}, seen{Method: "GET", Path: "/apps/v2/k8s/cluster/all"}},
		"a cluster whose identifier needs escaping": {cluster, func(ctx context.Context, c *Client) error {
			_, err := c.Cluster(ctx, "k/1")
			return err
		}, seen{Method: "GET", Path: "/apps/v2/k8s/cluster/byId/k%2F1"}},
		"node groups": {nothing, func(ctx context.Context, c *Client) error {
			_, err := c.NodeGroups(ctx, "k")
			return err
		}, seen{Method: "GET", Path: "/apps/v2/k8s/node/groups/byClusterId/k"}},
		"a new node group": {accepted, func(ctx context.Context, c *Client) error { return c.CreateNodeGroup(ctx, "k", "g", 3) }, seen{
			Method: "POST", Path: "/apps/v2/k8s/cluster/add/group", Body: `{"KubeSizeID":3,"clusterIdentifier":"k","groupName":"g"}`,
		}},
		"a new worker":   {accepted, func(ctx context.Context, c *Client) error { return c.AddWorker(ctx, "k", 17, "vn-7") }, seen{Method: "POST", Path: "/apps/v2/k8s/cluster/byId/k/add/slave/group/17", About: "vn-7"}},
		"an old worker":  {accepted, func(ctx context.Context, c *Client) error { return c.DeleteWorker(ctx, "k", "w") }, seen{Method: "DELETE", Path: "/apps/v2/k8s/cluster/byId/k/delete/slave", Body: `{"identifier":"w"}`}},
		"an empty reply": {reply(204, ""), func(ctx context.Context, c *Client) error { return c.DeleteWorker(ctx, "k", "w") }, seen{Method: "DELETE", Path: "/apps/v2/k8s/cluster/byId/k/delete/slave", Body: `{"identifier":"w"}`}},
		"a worker with an object for an answer": {reply(200, `{"error":false,"data":{"id":1,"hostname":"x"}}`), func(ctx context.Context, c *Client) error {
			return c.AddWorker(ctx, "k", 17, "no\nheader")
		}, seen{Method: "POST", Path: "/apps/v2/k8s/cluster/byId/k/add/slave/group/17"}},
	} {
		t.Run(name, func(t *testing.T) {
			vpsie := newCloud(test.answer)
			if err := test.call(t.Context(), newClient(t, vpsie, nil)); err != nil {
				t.Fatal(err)
			}
			test.want.Auth = "tok-en"
			if diff := cmp.Diff([]seen{test.want}, vpsie.requests()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIncompleteRequestsAreNotSent(t *testing.T) {
	vpsie := newCloud(accepted)
	client, ctx := newClient(t, vpsie, nil), t.Context()
	_, offers := client.KubernetesOffers(ctx, "")
	_, cluster := client.Cluster(ctx, "")
	_, groups := client.NodeGroups(ctx, "..")
	for name, err := range map[string]error{
		"offers of no datacenter": offers, "no cluster": cluster, "groups above": groups,
		"a group of no cluster":  client.CreateNodeGroup(ctx, "", "g", 1),
		"a group without name":   client.CreateNodeGroup(ctx, "k", "", 1),
		"a worker of no cluster": client.AddWorker(ctx, "", 1, "vn"),
		"no worker":              client.DeleteWorker(ctx, "k", ""),
	} {
		if !errors.Is(err, ErrInvalidRequest) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if got := vpsie.requests(); len(got) > 0 {
		t.Errorf("sent %v", got)
	}
}

func TestDatacentersComeInPages(t *testing.T) {
	page := func(from, to int) string {
		var rows []string
		for i := from; i < to; i++ {
			rows = append(rows, `{"identifier":"`+strings.Repeat("x", i+1)+`"}`)
		}
		return `{"error":false,"data":[` + strings.Join(rows, ",") + `]}`
	}
	t.Run("all are read", func(t *testing.T) {
		vpsie := newCloud(reply(200, page(0, 100)), reply(200, page(100, 130)))
		got, err := newClient(t, vpsie, nil).Datacenters(t.Context())
		if err != nil || len(got) != 130 || vpsie.requests()[1].Path != "/apps/v2/datacenter?limit=100&offset=100" {
			t.Errorf("got %d datacenters, error %v, requests %v", len(got), err, vpsie.requests())
		}
	})
	t.Run("a server that knows no pages is not asked forever", func(t *testing.T) {
		vpsie := newCloud(reply(200, page(0, 100)))
		got, err := newClient(t, vpsie, nil).Datacenters(t.Context())
		if err != nil || len(got) != 100 || len(vpsie.requests()) != 2 {
			t.Errorf("got %d datacenters, error %v, %d requests", len(got), err, len(vpsie.requests()))
		}
	})
}

func TestClusterIsNeverEmptyByMistake(t *testing.T) {
	for name, test := range map[string]struct {
		answer answerer
		want   string
	}{
		"absent":          {reply(200, `{"error":false,"data":false}`), `getCluster: cluster "k": VPSie has no such thing`},
		"null":            {reply(200, `{"error":false,"data":null}`), `getCluster: VPSie's answer (status 200) was not understood: it has no data where a cluster belongs`},
		"no data":         {reply(200, `{"error":false}`), `getCluster: VPSie's answer (status 200) was not understood: it has no data where a cluster belongs`},
		"nothing":         {reply(204, ""), `getCluster: VPSie's answer (status 200) was not understood: it has no data where a cluster belongs`},
		"true":            {accepted, `getCluster: VPSie's answer (status 200) was not understood: a cluster has an unknown shape`},
		"no nodes":        {reply(200, `{"error":false,"data":{"identifier":"k"}}`), `getCluster: VPSie's answer (status 200) was not understood: the cluster has no list of workers`},
		"another cluster": {reply(200, `{"error":false,"data":{"identifier":"other","nodes":[]}}`), `getCluster: VPSie's answer (status 200) was not understood: it is about cluster "other", not "k"`},
		"a web page":      {reply(200, `<html>`), `getCluster: VPSie's answer (status 200) was not understood: it is a web page, as gateways send, not JSON`},
		"an error": {
			reply(200, `{"error":true,"message":"no"}`, "X-Request-ID", "r-1"), `getCluster: VPSie answered 200 OK: "no" (request "r-1")`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newClient(t, newCloud(test.answer), func(o *Options) { o.ReadAttempts = 1 }).Cluster(t.Context(), "k")
			if errorText(err) != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}
