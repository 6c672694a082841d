// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseEnvelope(t *testing.T) {
	for name, test := range map[string]struct {
		body    string
		want    Envelope
		problem string
	}{
		"success with data":                      {body: `{"error":false,"data":[1]}`, want: Envelope{Data: json.RawMessage(`[1]`)}},
		"success without data":                   {body: `{"error":false}`},
		"success without error":                  {body: `{"data":true}`, want: Envelope{Data: json.RawMessage(`true`)}},
		"data is kept raw":                       {body: `{"error":0,"data":false}`, want: Envelope{Data: json.RawMessage(`false`)}},
		"error as a string that says no":         {body: `{"error":"false"}`},
		"error true with a message":              {body: `{"error":true,"code":7,"message":" no ","stack":"x"}`, want: Envelope{Failed: true, Message: "no"}},
		"error as number":                        {body: `{"error":1,"message":"no"}`, want: Envelope{Failed: true, Message: "no"}},
		"error as string":                        {body: `{"error":"true"}`, want: Envelope{Failed: true}},
		"error that is the message":              {body: `{"error":"disk is full"}`, want: Envelope{Failed: true, Message: "disk is full"}},
		"error that is an object is an error":    {body: `{"error":{"code":5}}`, want: Envelope{Failed: true, Message: `{"code":5}`}},
		"a message that is no string is not one": {body: `{"error":true,"message":{"a":1}}`, want: Envelope{Failed: true}},
		"blanks around it":                       {body: "\n {\"error\":false}\n"},
		"a web page":                             {body: "<html>502</html>", problem: "it is a web page, as gateways send, not JSON"},
		"nothing":                                {body: " ", problem: "it is empty"},
		"a list":                                 {body: `[]`, problem: "it is not a JSON object"},
		"half an object":                         {body: `{"error":false,"data":[`, problem: "it is broken JSON"},
		"two objects":                            {body: `{"error":false}{"error":false}`, problem: "it is broken JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseEnvelope([]byte(test.body))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("envelope (-want +got):\n%s", diff)
			}
			if problem(err) != test.problem {
				t.Errorf("problem %q, want %q", problem(err), test.problem)
			}
		})
	}
}

func TestScalarsComeInManyShapes(t *testing.T) {
	var got struct {
		Flags   []flag
		Texts   []text
		Numbers []number
	}
	body := `{"Flags":[true,false,1,0,"1","0","true","false","",null,"yes","no"],
		"Texts":["a"," b ",5,1.5,null,true,false,{"x":1},["y"]],
		"Numbers":[24,24.5,"24.50"," 24 ",null,"",true,"NaN","Inf",1e400,{"x":1},"x"]}`
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := got
	want.Flags = []flag{true, false, true, false, true, false, true, false, false, false, true, false}
	want.Texts = []text{"a", "b", "5", "1.5", "", "", "", "", ""}
	want.Numbers = []number{24, 24.5, 24.5, 24, 0, 0, 0, 0, 0, 0, 0, 0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWholeNumbers(t *testing.T) {
	for value, want := range map[number]int64{3: 3, -3: -3, 2.5: 0, 1e30: 0} {
		if got := value.whole(); got != want {
			t.Errorf("%v is %d, want %d", value, got, want)
		}
	}
}

func TestDatacenters(t *testing.T) {
	got, err := Datacenters(json.RawMessage(`[
		{"identifier":"a","dc_name":"Helsinki","country":"Finland","is_active":1,"is_deleted":0},
		{"identifier":"b","dc_name":"Old","is_active":"0"},
		{"identifier":"c","dc_name":"Gone","is_active":true,"is_deleted":true},
		{"identifier":"d"},
		{"dc_name":"without identifier"}]`))
	want := []Datacenter{
		{Identifier: "a", Name: "Helsinki", Country: "Finland", Active: true},
		{Identifier: "b", Name: "Old"},
		{Identifier: "c", Name: "Gone"},
		{Identifier: "d", Active: true},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}

func TestOffers(t *testing.T) {
	got, err := Offers(json.RawMessage(`{"count":2,"rows":[
		{"id":3,"name":"Advanced","cpu":8,"ram":16384,"disk":320,"price":96,"hourly_price":0.1333},
		{"id":"9","nickname":"Compute-S","cpu":"4","ram":"8192","ssd":"160","price":"64.00"}]}`))
	want := []Offer{
		{SizeID: 3, Name: "Advanced", CPUs: 8, MemoryMB: 16384, DiskGB: 320, MonthlyPrice: 96, HourlyPrice: 0.1333},
		{SizeID: 9, Name: "Compute-S", CPUs: 4, MemoryMB: 8192, DiskGB: 160, MonthlyPrice: 64},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}

func TestListsThatAreNoLists(t *testing.T) {
	for data, want := range map[string]string{
		``:                `it has no data where a list belongs`,
		`null`:            `it has no data where a list belongs`,
		`false`:           `it has no data where a list belongs`,
		`{}`:              `it has no data where a list belongs`,
		`{"rows":false}`:  `it has no data where a list belongs`,
		`true`:            `its data is not a list`,
		`{"rows":{}}`:     `its data is not a list`,
		`"x"`:             `its data is not a list`,
		`[{"name":"x"}]`:  `a node group has no id`,
		`[{"id":0.5}]`:    `a node group has no id`,
		`[[]]`:            `a node group has an unknown shape`,
		`[null]`:          `a node group has no id`,
		`[{"id":1},null]`: ``,
		`[]`:              ``,
	} {
		if _, err := NodeGroups(json.RawMessage(data)); problem(err) != want {
			t.Errorf("%s: problem %q, want %q", data, problem(err), want)
		}
	}
}

func TestClusterWithNodes(t *testing.T) {
	for name, test := range map[string]struct {
		data    string
		want    []Node
		problem string
	}{
		"the union of what clients have seen": {
			data: `{"identifier":"k","nodes":[
				{"identifier":"w","hostname":"HEL-slave-1A2B","ip":"10.0.0.1","status":"Running","role":"slave","cpu":2,"ram":"4096","disk":80},
				{"identifier":"m","id":1,"hostname":"hel-master-0001","default_ip":"10.0.0.2","private_ip":null,"node_type":1}]}`,
			want: []Node{
				{Identifier: "w", Hostname: "HEL-slave-1A2B", IP: "10.0.0.1", Role: Worker, Status: "running", CPUs: 2, MemoryMB: 4096, DiskGB: 80},
				{Identifier: "m", Hostname: "hel-master-0001", IP: "10.0.0.2", Role: Manager},
			},
		},
		"masters and slaves apart": {
			data: `{"identifier":"k","masters":[{"identifier":"m","hostname":"x"}],"slaves":[{"identifier":"w","hostname":"y","boxsize_id":3}]}`,
			want: []Node{{Identifier: "w", Hostname: "y", Role: Worker, SizeID: 3}, {Identifier: "m", Hostname: "x", Role: Manager}},
		},
		"one machine in two lists is one machine": {
			data: `{"identifier":"k","slaves":[{"identifier":"w","status":"running"}],"nodes":[{"identifier":"w","hostname":"y","cpu":2}]}`,
			want: []Node{{Identifier: "w", Hostname: "y", Role: Worker, Status: "running", CPUs: 2}},
		},
		"a machine that is called both is a manager": {
			data: `{"identifier":"k","slaves":[{"identifier":"w"}],"masters":[{"identifier":"w"}]}`,
			want: []Node{{Identifier: "w", Role: Manager}},
		},
		"a cluster that is called master has workers": {
			data: `{"identifier":"k","nodes":[{"identifier":"w","hostname":"my-master-cluster-slave-0f"}]}`,
			want: []Node{{Identifier: "w", Hostname: "my-master-cluster-slave-0f", Role: Worker}},
		},
		"a number for a type says nothing": {
			data: `{"identifier":"k","nodes":[{"identifier":"w","hostname":"y","node_type":2,"is_deleted":1}]}`,
			want: []Node{{Identifier: "w", Hostname: "y", Deleted: true}},
		},
		"rows without an identifier stay apart": {
			data: `{"identifier":"k","nodes":[{"hostname":"a"},{"hostname":"b"}]}`,
			want: []Node{{Hostname: "a"}, {Hostname: "b"}},
		},
		"no machines":                        {data: `{"identifier":"k","nodes":[]}`},
		"no list of nodes":                   {data: `{"identifier":"k"}`, problem: "the cluster has no list of workers"},
		"nodes that are null":                {data: `{"identifier":"k","nodes":null}`, problem: "the cluster has no list of workers"},
		"nodes that are false":               {data: `{"identifier":"k","nodes":false}`, problem: "the cluster has no list of workers"},
		"masters only":                       {data: `{"identifier":"k","slaves":null,"masters":[{"identifier":"m"}]}`, problem: "the cluster has no list of workers"},
		"nodes that are a number":            {data: `{"identifier":"k","nodes":5}`, problem: "its list of nodes is not a list"},
		"one row that is no machine":         {data: `{"identifier":"k","nodes":[{"identifier":"w"},7]}`, problem: "a node has an unknown shape"},
		"one row that is null":               {data: `{"identifier":"k","nodes":[null]}`, problem: "a node has an unknown shape"},
		"a cluster that is a list":           {data: `[]`, problem: "a cluster has an unknown shape"},
		"a cluster without identifier":       {data: `{"nodes":[]}`, problem: "a cluster has no identifier"},
		"a flag that nobody can make out":    {data: `{"identifier":"k","nodes":[{"identifier":"w","is_deleted":{}}]}`, problem: "a node has an unknown shape"},
		"a lock that nobody can make out":    {data: `{"identifier":"k","lock":[],"nodes":[]}`, problem: "a cluster has an unknown shape"},
		"nodes that are wrapped like a page": {data: `{"identifier":"k","nodes":{"rows":[{"identifier":"w"}],"count":1}}`, want: []Node{{Identifier: "w"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ClusterWithNodes(json.RawMessage(test.data))
			if problem(err) != test.problem {
				t.Fatalf("problem %q, want %q", problem(err), test.problem)
			}
			if diff := cmp.Diff(test.want, got.Nodes); err == nil && diff != "" {
				t.Errorf("nodes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestToken(t *testing.T) {
	expires := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, test := range map[string]struct {
		body    string
		token   string
		expires time.Time
		problem string
	}{
		"the shape with token":             {body: `{"error":false,"token":{"access":{"token":"t","expires":"2030-01-02T03:04:05Z"},"refresh":{"token":"r"}}}`, token: "t", expires: expires},
		"the shape with accessToken":       {body: `{"error":false,"accessToken":{"token":"t","expires":"2030-01-02T03:04:05.000Z"}}`, token: "t", expires: expires},
		"an expiry that is not understood": {body: `{"token":{"access":{"token":"t","expires":"soon"}}}`, token: "t"},
		"no token":                         {body: `{"error":false,"data":true}`, problem: "it holds no token"},
		"a token that is a list":           {body: `{"token":["t"]}`, problem: "its token has an unknown shape"},
	} {
		t.Run(name, func(t *testing.T) {
			token, at, err := Token([]byte(test.body))
			if token != test.token || !at.Equal(test.expires) || problem(err) != test.problem {
				t.Errorf("got %q, %v, %q; want %q, %v, %q", token, at, problem(err), test.token, test.expires, test.problem)
			}
		})
	}
}

func problem(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
