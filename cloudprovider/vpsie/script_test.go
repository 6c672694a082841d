// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
)

// Routes of the script, as method and path below /apps/v2 for the cluster clusterID.
const (
	clusterID   = "567ee954-3b83-4912-8d74-ba47601f1cf6"
	helsinki    = "ab70b42f-9f22-11e3-8af5-005056aa8af7"
	datacenters = "GET /datacenter"
	clusters    = "GET /k8s/cluster/all"
	groupsList  = "GET /k8s/node/groups/byClusterId/" + clusterID
	offersList  = "POST /k8s/offers"
	oneCluster  = "GET /k8s/cluster/byId/" + clusterID
	addGroup    = "POST /k8s/cluster/add/group"
	addSlave    = "POST /k8s/cluster/byId/" + clusterID + "/add/slave/group/"
	deleteSlave = "DELETE /k8s/cluster/byId/" + clusterID + "/delete/slave"
)

// Answers in the shapes that clients of the real VPSie have recorded.
const (
	ok           = `{"error":false,"data":true}`
	pleaseLogIn  = `401 {"error":true,"code":401,"message":"Please authenticate"}`
	workerLimit  = `{"error":true,"code":1,"message":"Worker nodes count exceeds the allowed limit"}`
	noStock      = `{"error":true,"message":"Selected size is out of stock"}`
	sameSize     = `{"error":true,"message":"Group GRP-Advanced-c745 has same selected Size, please select another size"}`
	lost         = "lost"
	badGateway   = "502 <html>bad gateway</html>"
	noGroups     = `{"error":false,"data":[]}`
	advancedOnly = `{"error":false,"data":[{"id":70,"group_name":"old","boxsize_id":3,"is_deleted":1,"project_id":9},{"id":72,"boxsize_id":3},{"id":71,"group_name":"GRP-Advanced-c745","boxsize_id":3,"project_id":71128,"dcIdentifier":"` + helsinki + `"}]}`
	bothGroups   = `{"error":false,"data":[{"id":71,"boxsize_id":3,"dcIdentifier":"` + helsinki + `"},{"id":80,"boxsize_id":12}]}`
)

func defaults() map[string]string {
	return map[string]string{
		datacenters: `{"error":false,"data":[{"dc_name":"Helsinki","country":"Finland","identifier":"` + helsinki + `","is_active":1,"is_deleted":0},
			{"dc_name":"New York","country":"United States","identifier":"ny","is_active":1}],"total":2}`,
		clusters:   `{"error":false,"data":[{"cluster_name":"HEL-Kubernetes-49ab","identifier":"` + clusterID + `","price":24.5,"lock":0,"lb_id":null}]}`,
		groupsList: advancedOnly,
		offersList: `{"error":false,"data":[
			{"id":3,"name":"Advanced","cpu":8,"ram":16384,"disk":320,"price":96,"hourly_price":0.1333},
			{"id":12,"name":"Micro","cpu":1,"ram":2048,"disk":50,"price":"12.00","hourly_price":"0.0167"},
			{"id":10,"name":"Compute M!","cpu":8,"ram":16384,"disk":320,"price":96}]}`,
		oneCluster:  nodes(),
		addGroup:    ok,
		addSlave:    ok,
		deleteSlave: ok,
	}
}

func nodes(rows ...string) string {
	return fmt.Sprintf(`{"error":false,"data":{"identifier":%q,"cluster_name":"HEL","nodes":[%s]}}`, clusterID, strings.Join(rows, ","))
}

// script is a VPSie that answers each route from a list, whose last answer is repeated, and keeps what it was asked.
type script struct {
	mu      sync.Mutex
	answers map[string][]string
	log     []string
	slow    func() // called while a request is in the air
}

func newScript(changes map[string][]string) *script {
	s := &script{answers: map[string][]string{}}
	for route, answer := range defaults() {
		s.answers[route] = []string{answer}
	}
	maps.Copy(s.answers, changes)
	return s
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.Body != nil {
		text, _ := io.ReadAll(r.Body)
		body = " " + string(text)
	}
	route := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/apps/v2")
	s.mu.Lock()
	s.log = append(s.log, strings.TrimSpace(route+body))
	key := route
	if strings.HasPrefix(route, addSlave) {
		key = addSlave
	}
	answer := s.answers[key][0]
	if len(s.answers[key]) > 1 {
		s.answers[key] = s.answers[key][1:]
	}
	slow := s.slow
	s.mu.Unlock()
	if slow != nil {
		slow()
	}
	if answer == lost {
		return nil, errors.New("connection reset by peer")
	}
	status := 200
	if n, err := fmt.Sscanf(answer, "%d ", &status); n == 1 && err == nil {
		_, answer, _ = strings.Cut(answer, " ")
	}
	w := httptest.NewRecorder()
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
	return w.Result(), nil
}

// requests returns what was asked on the routes, in order; on all of them where none is named.
func (s *script) requests(routes ...string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var asked []string
	for _, request := range s.log {
		for _, route := range routes {
			if strings.HasPrefix(request, route) {
				asked = append(asked, request)
			}
		}
		if len(routes) == 0 {
			asked = append(asked, request)
		}
	}
	return asked
}

func (s *script) set(route string, answers ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[route] = answers
}

// world is a Provider in front of a script.
type world struct {
	*script
	*Provider
	clock    *clocktesting.FakeClock
	registry *prometheus.Registry
}

var epoch = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func newWorld(t *testing.T, changes map[string][]string, settings ...func(*Options)) *world {
	t.Helper()
	w := &world{script: newScript(changes), clock: clocktesting.NewFakeClock(epoch), registry: prometheus.NewPedanticRegistry()}
	client, err := api.New(api.Options{
		Credentials: api.Static(api.Credentials{Token: "t"}), Transport: w.script, Clock: w.clock,
		RequestsPerMinute: 60_000, ReadAttempts: 1, BreakerFailures: 1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Clock: w.clock, Registerer: w.registry}
	for _, set := range settings {
		set(&o)
	}
	if w.Provider, err = New(client, o); err != nil {
		t.Fatal(err)
	}
	return w
}

// buy orders one machine of the offering.
func (w *world) buy(t *testing.T, offering string) error {
	t.Helper()
	return w.Order(t.Context(), cloudprovider.Order{Name: "vn", OfferingID: offering, Datacenter: helsinki})
}

func verdict(err error) string {
	if err == nil {
		return ""
	}
	return string(cloudprovider.ReactionTo(err)) + " " + cloudprovider.ReasonOf(err)
}
