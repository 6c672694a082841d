// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/simadmin"
)

const token = "static-token"

func start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// world is a simulated VPSie behind two loopback listeners, on a clock that only the test moves.
type world struct {
	t       *testing.T
	clock   *clocktesting.FakeClock
	sim     *vpsiesim.Server
	url     string
	admin   *simadmin.Client
	joiner  *joiner
	cluster string
}

// newWorld takes 10 s to list a machine, 5 s for its address, 60 s to boot it and 20 s to delete it.
func newWorld(t *testing.T, change func(*vpsiesim.Options)) *world {
	t.Helper()
	w := &world{t: t, clock: clocktesting.NewFakeClock(start()), joiner: &joiner{}}
	options := vpsiesim.Options{
		Clock: w.clock, Seed: 7, Token: token, ClientID: "id", ClientSecret: "secret",
		VisibleDelay: between(10), IPDelay: between(5), BootDelay: between(60), DeleteDelay: 20 * time.Second,
		Joiner: w.joiner,
	}
	if change != nil {
		change(&options)
	}
	sim, err := vpsiesim.New(options)
	if err != nil {
		t.Fatal(err)
	}
	api, admin := httptest.NewServer(sim.Handler()), httptest.NewServer(sim.AdminHandler())
	t.Cleanup(api.Close)
	t.Cleanup(admin.Close)
	w.sim, w.url, w.cluster = sim, api.URL, sim.ClusterIdentifier()
	w.admin = simadmin.New(admin.URL, admin.Client())
	return w
}

func between(seconds int) vpsiesim.Range {
	d := time.Duration(seconds) * time.Second
	return vpsiesim.Range{Min: d, Max: d}
}

// joiner keeps who joined and left, in order, and fails as often as told.
type joiner struct {
	mu     sync.Mutex
	log    []string
	joined []vpsiesim.Machine
	fail   int
}

func (j *joiner) Join(_ context.Context, machine vpsiesim.Machine) error {
	return j.enter("join", machine)
}

func (j *joiner) Leave(_ context.Context, machine vpsiesim.Machine) error {
	return j.enter("leave", machine)
}

func (j *joiner) enter(what string, machine vpsiesim.Machine) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fail > 0 {
		j.fail--
		j.log = append(j.log, "failed "+what)
		return errors.New("the cluster is away")
	}
	j.log = append(j.log, what)
	if what == "join" {
		j.joined = append(j.joined, machine)
	}
	return nil
}

func (j *joiner) did() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.log, ", ")
}

// answer is a VPSie answer, taken apart no further than every call allows.
type answer struct {
	status      int
	header      http.Header
	contentType string
	raw         string
	Error       bool            `json:"error"`
	Code        int             `json:"code"`
	Message     string          `json:"message"`
	Data        json.RawMessage `json:"data"`
	Total       *int            `json:"total"`
}

// try makes a call with the static token. The error is that of a call without an answer.
func (w *world) try(method, path, body string, headers ...string) (answer, error) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Vpsie-Auth", token)
	request.Header.Set("Content-Type", "application/json")
	for pair := range slices.Chunk(headers, 2) {
		request.Header.Set(pair[0], pair[1])
	}
	// No connection is used twice: Go repeats a GET on its own when a used one breaks.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	got := answer{status: response.StatusCode, header: response.Header, contentType: response.Header.Get("Content-Type"), raw: string(data)}
	if strings.HasPrefix(got.contentType, "application/json") {
		if err := json.NewDecoder(bytes.NewReader(data)).Decode(&got); err != nil {
			w.t.Fatalf("%s %s answered %q: %v", method, path, data, err)
		}
	}
	return got, nil
}

func (w *world) call(method, path, body string, headers ...string) answer {
	w.t.Helper()
	got, err := w.try(method, path, body, headers...)
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

// decode reads data into a value of the test's own shape.
func decode[T any](t *testing.T, got answer) T {
	t.Helper()
	var value T
	if got.Error || got.status != http.StatusOK {
		t.Fatalf("the call failed: %s", got.raw)
	}
	if err := json.Unmarshal(got.Data, &value); err != nil {
		t.Fatalf("reading %s: %v", got.Data, err)
	}
	return value
}

// node is as much of a row of cluster/byId as the tests look at.
type node struct {
	Identifier string `json:"identifier"`
	Hostname   string `json:"hostname"`
	IP         string `json:"ip"`
	DefaultIP  string `json:"default_ip"`
	Status     string `json:"status"`
	Role       string `json:"role"`
	CPU        int    `json:"cpu"`
	RAM        int    `json:"ram"`
	Disk       int    `json:"disk"`
}

type nodeGroup struct {
	ID         int    `json:"id"`
	Identifier string `json:"identifier"`
	Name       string `json:"group_name"`
	BoxSize    int    `json:"boxsize_id"`
	Nodes      int    `json:"nodes_count"`
	DC         string `json:"dcIdentifier"`
}

func (w *world) workers() []node {
	w.t.Helper()
	detail := decode[struct {
		Nodes []node `json:"nodes"`
	}](w.t, w.call("GET", "/apps/v2/k8s/cluster/byId/"+w.cluster, ""))
	return slices.DeleteFunc(detail.Nodes, func(n node) bool { return n.Role == "master" })
}

func (w *world) statuses() string {
	w.t.Helper()
	statuses := []string{}
	for _, n := range w.workers() {
		statuses = append(statuses, n.Status)
	}
	return strings.Join(statuses, " ")
}

func (w *world) groups() []nodeGroup {
	w.t.Helper()
	return decode[[]nodeGroup](w.t, w.call("GET", "/apps/v2/k8s/node/groups/byClusterId/"+w.cluster, ""))
}

// addGroup adds a node group and returns its number.
func (w *world) addGroup(size int) int {
	w.t.Helper()
	added := w.call("POST", "/apps/v2/k8s/cluster/add/group", groupBody(w.cluster, "pool", size))
	id, err := strconv.Atoi(decode[struct {
		ID string `json:"groupId"`
	}](w.t, added).ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func groupBody(cluster, name string, size int) string {
	data, _ := json.Marshal(map[string]any{"clusterIdentifier": cluster, "groupName": name, "KubeSizeID": size})
	return string(data)
}

func (w *world) orderPath(group int) string {
	return "/apps/v2/k8s/cluster/byId/" + w.cluster + "/add/slave/group/" + strconv.Itoa(group)
}

func (w *world) order(group int) answer {
	w.t.Helper()
	return w.call("POST", w.orderPath(group), "")
}

// mustOrder orders a machine and fails the test unless it is accepted.
func (w *world) mustOrder(group int) {
	w.t.Helper()
	if got := w.order(group); string(got.Data) != "true" || got.Error {
		w.t.Fatalf("the order was answered %s", got.raw)
	}
}

func (w *world) remove(identifier string) answer {
	w.t.Helper()
	return w.call("DELETE", "/apps/v2/k8s/cluster/byId/"+w.cluster+"/delete/slave", `{"identifier":"`+identifier+`"}`)
}

// pass moves the clock and lets everything due happen.
func (w *world) pass(seconds int) {
	w.clock.Step(time.Duration(seconds) * time.Second)
	w.sim.Tick(w.t.Context())
}

func (w *world) inject(faults ...fault.Fault) []fault.Fault {
	w.t.Helper()
	added, err := w.admin.AddFaults(w.t.Context(), faults...)
	if err != nil {
		w.t.Fatal(err)
	}
	return added
}

func (w *world) book() ledger.Report {
	w.t.Helper()
	report, err := w.admin.Ledger(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

func mustUnmarshal(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("reading %s: %v", text, err)
	}
}
