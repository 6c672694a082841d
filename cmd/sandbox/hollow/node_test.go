// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var machine = Machine{Name: "Worker-A1", IP: "10.1.1.1", CPU: 4, MemoryMB: 8192, DiskGB: 80}

func TestANodeIsBornAsTheCloudsWorkersAre(t *testing.T) {
	node := newNode(machine, "v1.37.2", t0)
	want := map[string]string{"kubernetes.io/hostname": "worker-a1", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
	if diff := cmp.Diff(want, node.Labels); diff != "" {
		t.Errorf("labels: %s", diff)
	}
	if node.Name != "worker-a1" || node.Spec.ProviderID != "" || len(node.Spec.Taints) > 0 || len(node.Annotations) > 0 {
		t.Errorf("the node carries what is not its own: %+v", node)
	}
	amounts := map[corev1.ResourceName][2]string{
		corev1.ResourceCPU:              {"4", "3900m"},
		corev1.ResourceMemory:           {"8Gi", "7936Mi"},
		corev1.ResourceEphemeralStorage: {"80Gi", "80Gi"},
		corev1.ResourcePods:             {"110", "110"},
	}
	for name, amount := range amounts {
		capacity, allocatable := node.Status.Capacity[name], node.Status.Allocatable[name]
		if capacity.String() != amount[0] || allocatable.String() != amount[1] {
			t.Errorf("%s: capacity %s, allocatable %s; want %v", name, capacity.String(), allocatable.String(), amount)
		}
	}
	for _, c := range node.Status.Conditions {
		if c.Status != corev1.ConditionFalse {
			t.Errorf("the node is born with %s %s", c.Type, c.Status)
		}
	}
}

func TestReservationsNeverMakeAllocatableNegative(t *testing.T) {
	tiny := Machine{Name: "tiny", IP: "10.1.1.1", CPU: 1, MemoryMB: 128, DiskGB: 1}
	left := allocatable(tiny)
	if memory := left[corev1.ResourceMemory]; !memory.IsZero() {
		t.Errorf("memory is %s", memory.String())
	}
}

func TestConditionsKeepTheTimeOfTheirLastChange(t *testing.T) {
	born := conditions(nil, notReady, t0)
	later := conditions(born, ready, t0.Add(time.Minute))
	for i, c := range later {
		want := t0
		if c.Type == corev1.NodeReady {
			want = t0.Add(time.Minute)
		}
		if !c.LastTransitionTime.Time.Equal(want) {
			t.Errorf("%s changed at %s, want %s", c.Type, c.LastTransitionTime, want)
		}
		if !c.LastHeartbeatTime.Time.Equal(t0.Add(time.Minute)) || c.Type != born[i].Type {
			t.Errorf("%+v", c)
		}
	}
}

func TestChangedSeesWhatTheNodeControllerWrote(t *testing.T) {
	desired := conditions(nil, ready, t0)
	has := conditions(nil, ready, t0.Add(-time.Hour))
	if changed(has, desired) {
		t.Error("the same conditions at another time count as changed")
	}
	has[3].Status, has[3].Reason = corev1.ConditionUnknown, "NodeStatusUnknown"
	if !changed(has, desired) {
		t.Error("a node that was declared unknown does not count as changed")
	}
	if !changed(has[:2], desired) {
		t.Error("missing conditions do not count as changed")
	}
}

func TestAHeartbeatTouchesNothingButConditions(t *testing.T) {
	patch, err := nodePatch(corev1.NodeStatus{Conditions: conditions(nil, ready, t0)})
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]map[string]json.RawMessage
	if err := json.Unmarshal(patch, &fields); err != nil {
		t.Fatal(err)
	}
	if len(fields) != 1 || len(fields["status"]) != 1 || fields["status"]["conditions"] == nil {
		t.Errorf("the patch has more than status.conditions: %s", patch)
	}
}

func TestJoinRefusesAMachineThatIsNone(t *testing.T) {
	tests := map[string]struct {
		harm func(*Machine)
		want string
	}{
		"no name":            {func(m *Machine) { m.Name = "" }, "cannot name a node"},
		"a name with blanks": {func(m *Machine) { m.Name = "worker a" }, "cannot name a node"},
		"no address":         {func(m *Machine) { m.IP = "" }, "not an IP address"},
		"no cpu":             {func(m *Machine) { m.CPU = 0 }, "needs cpu, memory and disk"},
		"no memory":          {func(m *Machine) { m.MemoryMB = 0 }, "needs cpu, memory and disk"},
		"no disk":            {func(m *Machine) { m.DiskGB = -1 }, "needs cpu, memory and disk"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := machine
			test.harm(&m)
			fleet := NewFleet(nil, Options{}) // not asked: the machine is refused before
			defer fleet.Stop()
			if err := fleet.Join(t.Context(), m); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Join: %v, want %q", err, test.want)
			}
		})
	}
}

func TestLeaveRefusesAMachineThatNeverJoined(t *testing.T) {
	fleet := NewFleet(nil, Options{})
	defer fleet.Stop()
	if err := fleet.Leave(t.Context(), "nobody"); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("Leave: %v", err)
	}
}

func asking(name, cpu, memory string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
		}}}}},
	}
}

func TestFit(t *testing.T) {
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourcePods: resource.MustParse("2"),
	}
	tests := map[string]struct {
		others []*corev1.Pod
		pod    *corev1.Pod
		want   string
	}{
		"the last bit of room is used":             {[]*corev1.Pod{asking("a", "1500m", "512Mi")}, asking("b", "500m", "512Mi"), ""},
		"a thousandth of a core too much":          {[]*corev1.Pod{asking("a", "1500m", "0")}, asking("b", "501m", "0"), "OutOfcpu"},
		"a byte too much":                          {[]*corev1.Pod{asking("a", "0", "1Gi")}, asking("b", "0", "1"), "OutOfmemory"},
		"one pod too many":                         {[]*corev1.Pod{asking("a", "0", "0"), asking("b", "0", "0")}, asking("c", "0", "0"), "OutOfpods"},
		"nothing asked of what there is not":       {nil, asking("a", "0", "0"), ""},
		"both cpu and memory: the first by name":   {nil, asking("a", "3", "2Gi"), "OutOfcpu"},
		"alone on a machine that is too small":     {nil, asking("a", "2", "1025Mi"), "OutOfmemory"},
		"others fill the machine, this asks for 0": {[]*corev1.Pod{asking("a", "2", "1Gi")}, asking("b", "0", "0"), ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := ""
			if r := fit(room, test.others, test.pod); r != nil {
				got = r.reason
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestAddressesAreUniqueAmongMachinesAndComeBack(t *testing.T) {
	if got := podRange(0).String(); got != "10.128.0.0/24" {
		t.Errorf("first machine: %s", got)
	}
	if got := podRange(300).String(); got != "10.129.44.0/24" {
		t.Errorf("301st machine: %s", got)
	}
	if got := podRange(machineCount - 1).String(); got != "10.255.255.0/24" {
		t.Errorf("last machine: %s", got)
	}
	a := newAddresses(podRange(1))
	first := a.take()
	seen := map[string]bool{first: true}
	for range 253 {
		address := a.take()
		if address == "" || seen[address] {
			t.Fatalf("%q after %d", address, len(seen))
		}
		seen[address] = true
	}
	if got := a.take(); got != "" {
		t.Errorf("address 255 of a /24 is %s", got)
	}
	a.release("10.1.1.1") // the machine's own
	a.release("")
	a.release(first)
	a.release(first)
	if got, none := a.take(), a.take(); got != first || none != "" {
		t.Errorf("got %q and %q, want %q and nothing", got, none, first)
	}
}
