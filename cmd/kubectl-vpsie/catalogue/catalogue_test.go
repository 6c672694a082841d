// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package catalogue_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/catalogue"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// sample is what users write, on one line.
const sample = `{"datacenters":[{"id":"hel","name":"Helsinki","offerings":[{"id":"1","name":"Starter","category":"shared","cpu":2,"memoryMiB":4096,"diskGiB":80,"pricePerHour":0.0333}]}],"reserved":{"cpuMilli":0,"memoryMiB":0},"maxPods":50}`

func load(t *testing.T, text string) (*catalogue.Catalogue, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("c.json", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return catalogue.Load("c.json")
}

func TestLoad(t *testing.T) {
	got, err := load(t, sample)
	if err != nil {
		t.Fatal(err)
	}
	want := &catalogue.Catalogue{
		Source: "c.json",
		Offerings: []scheduling.Offering{{
			ID: "1", Name: "Starter", Category: "shared", Datacenter: "hel", DatacenterName: "Helsinki", Zone: "hel", Region: "helsinki",
			CPUMilli: 2000, MemoryMiB: 4096, DiskGiB: 80, Price: scheduling.PerHour(0.0333), Available: true,
		}},
		Reserved: &v1alpha1.Reservation{CPU: resource.NewMilliQuantity(0, resource.DecimalSI), Memory: resource.NewQuantity(0, resource.BinarySI)},
		MaxPods:  new(int32(50)),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("catalogue (-want +got):\n%s", diff)
	}
}

func TestRefusesWhatCannotBeMeant(t *testing.T) {
	replaced := func(old, by string) string { return strings.Replace(sample, old, by, 1) }
	one := `{"id":"1","name":"Starter","category":"shared","cpu":2,"memoryMiB":4096,"diskGiB":80,"pricePerHour":0.0333}`
	cases := map[string]struct{ text, want string }{
		"an empty file":          {" \n", `c.json:1: there is nothing in it; want {"datacenters": [...]}`},
		"no datacenters":         {"{}", "c.json:1: datacenters: is missing; want at least one datacenter"},
		"no list of datacenters": {`{"datacenters":{}}`, "c.json:1: datacenters: is an object, want a list"},
		"a list":                 {`[]`, "c.json:1: is a list, want an object"},
		"cut short":              {`{"datacenters":[`, "c.json: this is neither valid JSON nor YAML: yaml: line 1: did not find expected node content"},
		"a field that is not known": {
			strings.ReplaceAll(replaced(`"cpu":2`, `"cpus":2`), ",", ",\n"), "c.json:6: datacenters[0].offerings[0].cpus: is no field that is known here",
		},
		"a field in other letters": {replaced(`"memoryMiB":4096`, `"memoryMib":1`), `c.json:1: datacenters[0].offerings[0].memoryMib: is no field that is known here; it is spelled "memoryMiB"`},
		"a negative price":         {replaced("0.0333", "-0.01"), "c.json:1: datacenters[0].offerings[0].pricePerHour: is -0.01, want the price of an hour, 0 or more"},
		"a price in words":         {replaced("0.0333", `"cheap"`), `c.json:1: datacenters[0].offerings[0].pricePerHour: is "cheap", want a number`},
		"no price":                 {replaced(`,"pricePerHour":0.0333`, ""), "c.json:1: datacenters[0].offerings[0].pricePerHour: is missing; want the price of an hour"},
		"no cpu":                   {replaced(`"cpu":2,`, ""), "c.json:1: datacenters[0].offerings[0].cpu: is missing; want the number of virtual CPUs"},
		"a cpu of 0":               {replaced(`"cpu":2,`, `"cpu":0,`), "c.json:1: datacenters[0].offerings[0].cpu: is 0, want a number of virtual CPUs greater than 0"},
		"memory that is no number of MiB": {
			replaced("4096", `"4Gi"`), `c.json:1: datacenters[0].offerings[0].memoryMiB: is "4Gi", want a whole number that fits in 64 bits`,
		},
		"no memory":         {replaced(`"memoryMiB":4096,`, ""), "c.json:1: datacenters[0].offerings[0].memoryMiB: is missing; want the memory in MiB"},
		"a negative disk":   {replaced("80", "-1"), "c.json:1: datacenters[0].offerings[0].diskGiB: is -1, want the disk in GiB, 0 or more"},
		"an offering twice": {replaced(one, one+",\n"+one), `c.json:2: datacenters[0].offerings[1].id: is "1", which offerings[0] of this datacenter has already`},
		"a datacenter twice": {
			`{"datacenters":[{"id":"a","offerings":[]},` + "\n" + `{"id":"a","offerings":[]}]}`, `c.json:2: datacenters[1].id: is "a", which datacenters[0] has already`,
		},
		"a datacenter without an identifier": {replaced(`"id":"hel",`, ""), "c.json:1: datacenters[0].id: is missing; want an identifier"},
		"an identifier that is no label": {
			replaced(`"hel"`, `"Helsinki 1"`), "c.json:1: datacenters[0].id: is \"Helsinki 1\", want at most 63 letters, digits, '-', '_' or '.', because nodes carry it as a label",
		},
		"an identifier that is a number": {replaced(`"id":"1"`, `"id":1`), `c.json:1: datacenters[0].offerings[0].id: is the number 1, want text: put it in quotes, "1"`},
		"a negative reservation":         {replaced(`"cpuMilli":0`, `"cpuMilli":-5`), "c.json:1: reserved.cpuMilli: is -5, want 0 or more"},
		"no pods":                        {replaced(`"maxPods":50`, `"maxPods":0`), "c.json:1: maxPods: is 0, want 1 or more"},
		"every mistake at once": {
			strings.Replace(replaced(`"cpuMilli":0`, `"cpuMilli":-5`), "50", "-1", 1), "c.json:1: maxPods: is -1, want 1 or more\nc.json:1: reserved.cpuMilli: is -5, want 0 or more",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, tc.text)
			if invalid := new(catalogue.InvalidError); !errors.As(err, &invalid) {
				t.Fatalf("got error %v, want an InvalidError", err)
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadNamesAFileThatIsMissing(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := catalogue.Load("none.json"); err == nil || err.Error() != "none.json: there is no such file" {
		t.Errorf("got error %v", err)
	}
}

func TestApply(t *testing.T) {
	own := &v1alpha1.NodeGroup{}
	own.Spec.Template.MaxPods = new(int32(20))
	own.Spec.Template.Reserved = &v1alpha1.Reservation{CPU: resource.NewMilliQuantity(300, resource.DecimalSI)}
	c, err := load(t, sample)
	if err != nil {
		t.Fatal(err)
	}
	describe := func(group *v1alpha1.NodeGroup) string {
		a := scheduling.Allocatable(group, c.Offerings[0])
		return strings.Join([]string{a.Cpu().String(), a.Memory().String(), a.Pods().String()}, " ")
	}
	got := []string{describe(c.Apply(&v1alpha1.NodeGroup{})), describe(c.Apply(own)), describe(own), describe((&catalogue.Catalogue{}).Apply(&v1alpha1.NodeGroup{}))}
	want := []string{
		"2 4Gi 50",         // nothing reserved, as the catalogue says
		"1700m 4Gi 20",     // the group's own figures go first
		"1700m 3840Mi 20",  // and the group itself is as before
		"1900m 3840Mi 110", // the estimate
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cpu, memory and pods (-want +got):\n%s", diff)
	}
}

func TestSimulatedSaysThatItIs(t *testing.T) {
	c, err := catalogue.Simulated()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(c.Source, "simulated") || len(c.Offerings) == 0 {
		t.Errorf("source %q, %d offerings", c.Source, len(c.Offerings))
	}
	for _, o := range c.Offerings {
		if o.Price <= 0 || !o.Available || o.Zone != o.Datacenter || o.CPUMilli <= 0 || o.MemoryMiB <= 0 {
			t.Errorf("offering %+v cannot be bought", o)
		}
	}
}
