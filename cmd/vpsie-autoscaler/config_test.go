// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

func parse(t *testing.T, environment map[string]string, args ...string) (*config, error) {
	t.Helper()
	c := defaults()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	c.addFlags(flags)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	var variables []string
	for name, value := range environment {
		variables = append(variables, name+"="+value)
	}
	if err := fromEnvironment(flags, variables); err != nil {
		return nil, err
	}
	return c, c.validate()
}

func TestConfig(t *testing.T) {
	cases := map[string]struct {
		environment map[string]string
		args        []string
		want        string // the error, empty for none
	}{
		"defaults are valid": {},
		"a flag wins over its environment variable": {
			environment: map[string]string{"VPSIE_AUTOSCALER_LOG_LEVEL": "nonsense"}, args: []string{"--log-level=debug"},
		},
		"an environment variable is used when its flag is not given": {
			environment: map[string]string{"VPSIE_AUTOSCALER_LOG_LEVEL": "loud"},
			want:        `--log-level (VPSIE_AUTOSCALER_LOG_LEVEL): "loud" is none of info, debug, error`,
		},
		"an environment variable that cannot be read is named": {
			environment: map[string]string{"VPSIE_AUTOSCALER_BATCH_IDLE": "soon"},
			want:        `environment variable VPSIE_AUTOSCALER_BATCH_IDLE: invalid argument "soon" for "--batch-idle" flag: time: invalid duration "soon"`,
		},
		"an environment variable that is no flag's is refused, and the nearest one named": {
			environment: map[string]string{"VPSIE_AUTOSCALER_BATCH_IDEL": "2s"},
			want:        `environment variable VPSIE_AUTOSCALER_BATCH_IDEL: there is no such setting; did you mean VPSIE_AUTOSCALER_BATCH_IDLE?`,
		},
		"each unknown environment variable is named": {
			environment: map[string]string{"VPSIE_AUTOSCALER_RESYNCH": "2s", "VPSIE_AUTOSCALER_CLUSTER_ID": "c", "VPSIE_AUTOSCALER_HELP": "true"},
			want: strings.Join([]string{
				`environment variable VPSIE_AUTOSCALER_CLUSTER_ID: there is no such setting; did you mean VPSIE_AUTOSCALER_VPSIE_CLUSTER_ID?`,
				`environment variable VPSIE_AUTOSCALER_HELP: there is no such setting; did you mean VPSIE_AUTOSCALER_RESYNC?`,
				`environment variable VPSIE_AUTOSCALER_RESYNCH: there is no such setting; did you mean VPSIE_AUTOSCALER_RESYNC?`,
			}, "\n"),
		},
		"a port of a person's is not taken for a Service's": {
			environment: map[string]string{"VPSIE_AUTOSCALER_METRICS_PORT": "8080"},
			want:        `environment variable VPSIE_AUTOSCALER_METRICS_PORT: there is no such setting; did you mean VPSIE_AUTOSCALER_METRICS_BIND_ADDRESS?`,
		},
		"variables of others do not matter": {environment: map[string]string{"VPSIE_AUTOSCALER": "x", "MY_VPSIE_AUTOSCALER_LOG_LEVEL": "x"}},
		"what Kubernetes tells of Services does not matter": {environment: map[string]string{
			"VPSIE_AUTOSCALER_SERVICE_HOST":                 "10.0.0.1",
			"VPSIE_AUTOSCALER_SERVICE_PORT":                 "443",
			"VPSIE_AUTOSCALER_SERVICE_PORT_HTTPS_WEBHOOK":   "443",
			"VPSIE_AUTOSCALER_PORT":                         "tcp://10.0.0.1:443",
			"VPSIE_AUTOSCALER_PORT_443_TCP":                 "tcp://10.0.0.1:443",
			"VPSIE_AUTOSCALER_PORT_443_TCP_PROTO":           "tcp",
			"VPSIE_AUTOSCALER_PORT_443_TCP_PORT":            "443",
			"VPSIE_AUTOSCALER_PORT_443_TCP_ADDR":            "10.0.0.1",
			"VPSIE_AUTOSCALER_METRICS_SERVICE_HOST":         "10.0.0.2",
			"VPSIE_AUTOSCALER_METRICS_SERVICE_PORT_METRICS": "8080",
			"VPSIE_AUTOSCALER_METRICS_PORT":                 "tcp://10.0.0.2:8080",
			"VPSIE_AUTOSCALER_METRICS_PORT_8080_TCP_ADDR":   "10.0.0.2",
		}},
		"an address without a port is refused": {
			args: []string{"--health-bind-address=localhost"},
			want: `--health-bind-address (VPSIE_AUTOSCALER_HEALTH_BIND_ADDRESS): "localhost" is not an address with a port; want host:port such as :8080, or 0 for none`,
		},
		"a port that is no port is refused": {
			args: []string{"--metrics-bind-address=:99999"},
			want: `--metrics-bind-address (VPSIE_AUTOSCALER_METRICS_BIND_ADDRESS): ":99999" is not an address: its port "99999" is not a number from 1 to 65535; want host:port such as :8080, or 0 for none`,
		},
		"port 0 is refused, because nobody could find what is served there": {
			args: []string{"--health-bind-address=127.0.0.1:0"},
			want: `--health-bind-address (VPSIE_AUTOSCALER_HEALTH_BIND_ADDRESS): "127.0.0.1:0" is not an address: its port "0" is not a number from 1 to 65535; want host:port such as :8080, or 0 for none`,
		},
		"metrics can be turned off": {args: []string{"--metrics-bind-address=0"}},
		"a Secret name that no Secret can have is refused": {
			args: []string{"--credentials-secret=My Secret"},
			want: `--credentials-secret (VPSIE_AUTOSCALER_CREDENTIALS_SECRET): "My Secret" is not a name that an object can have; want lower-case letters, digits, '-' and '.'`,
		},
		"a namespace that cannot exist is refused": {
			args: []string{"--credentials-namespace=Kube"},
			want: `--credentials-namespace (VPSIE_AUTOSCALER_CREDENTIALS_NAMESPACE): "Kube" is not a namespace; want lower-case letters, digits and '-'`,
		},
		"a duration of zero is refused": {
			args: []string{"--failed-ttl=0s"},
			want: `--failed-ttl (VPSIE_AUTOSCALER_FAILED_TTL): 0s is not a positive duration; want something like 30s or 5m`,
		},
		"a batch that can never be idle is refused": {
			args: []string{"--batch-idle=20s"},
			want: `--batch-idle (VPSIE_AUTOSCALER_BATCH_IDLE): 20s is longer than --batch-max 10s; the batch would never be idle`,
		},
		"nodes may open as they come": {args: []string{"--open-together=0s"}},
		"a node cannot be kept closed for longer than the life cycle does": {
			args: []string{"--open-together=2m"},
			want: `--open-together (VPSIE_AUTOSCALER_OPEN_TOGETHER): 2m0s is not between 0 and 1m0s, after which every node is open`,
		},
		"an order cannot settle after its launch has timed out": {
			args: []string{"--order-settle=1h"},
			want: `--order-settle (VPSIE_AUTOSCALER_ORDER_SETTLE): 1h0m0s is longer than --launch-timeout 15m0s`,
		},
		"a machine may cost something beside its price": {args: []string{"--node-cost=0.005"}},
		"a node cost in words is refused": {
			environment: map[string]string{"VPSIE_AUTOSCALER_NODE_COST": "much"},
			want:        `--node-cost (VPSIE_AUTOSCALER_NODE_COST): reading price "much": want a decimal such as 0.0333`,
		},
		"a negative node cost is refused": {
			args: []string{"--node-cost=-0.01"},
			want: `--node-cost (VPSIE_AUTOSCALER_NODE_COST): reading price "-0.01": want a decimal such as 0.0333`,
		},
		"a node cost that nobody means is refused": {
			args: []string{"--node-cost=5000000"},
			want: `--node-cost (VPSIE_AUTOSCALER_NODE_COST): "5000000" is more than 1000000 per hour`,
		},
		"each mistake is named": {
			args: []string{"--kube-api-qps=0", "--kube-api-burst=0", "--vpsie-requests-per-minute=0", "--log-format=xml"},
			want: strings.Join([]string{
				`--kube-api-burst (VPSIE_AUTOSCALER_KUBE_API_BURST): 0 must be at least 1`,
				`--kube-api-qps (VPSIE_AUTOSCALER_KUBE_API_QPS): 0 must be greater than 0`,
				`--log-format (VPSIE_AUTOSCALER_LOG_FORMAT): "xml" is neither json nor console`,
				`--vpsie-requests-per-minute (VPSIE_AUTOSCALER_VPSIE_REQUESTS_PER_MINUTE): 0 must be at least 1`,
			}, "\n"),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := ""
			if _, err := parse(t, tc.environment, tc.args...); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryDurationFlagIsChecked(t *testing.T) {
	c := defaults()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	c.addFlags(flags)
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Value.Type() != "duration" {
			return
		}
		if _, err := parse(t, nil, "--"+flag.Name+"=-1s"); err == nil || !strings.Contains(err.Error(), "--"+flag.Name) {
			t.Errorf("--%s=-1s: got error %v, want one that names the flag", flag.Name, err)
		}
	})
}

func TestSchedulerConfig(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "scheduler.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const header = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
	if scheduler, err := newScheduler(&config{schedulerConfig: file(header + "profiles: [{schedulerName: ours}]")}); err != nil ||
		!slices.Equal(scheduler.Names(), []string{"ours"}) {
		t.Errorf("got %v, %v", scheduler.Names(), err)
	}
	if scheduler, err := newScheduler(&config{}); err != nil || scheduler != nil {
		t.Errorf("without a file: got %v, %v; want the stock scheduler", scheduler, err)
	}
	for name, c := range map[string]struct {
		config config
		want   []string
	}{
		"a file that is not there is named": {
			config{schedulerConfig: "/absent.yaml"}, []string{"--scheduler-config (VPSIE_AUTOSCALER_SCHEDULER_CONFIG)", "/absent.yaml"},
		},
		"a wrong field is named": {
			config{schedulerConfig: file(header + "profile: []")}, []string{"--scheduler-config", "scheduler.yaml", `unknown field "profile"`},
		},
		"an unknown feature gate is named": {
			config{schedulerGates: "Flying=true"}, []string{"--scheduler-feature-gates (VPSIE_AUTOSCALER_SCHEDULER_FEATURE_GATES)", "Flying"},
		},
	} {
		_, err := newScheduler(&c.config)
		for _, part := range c.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: got %v, want %s in it", name, err, part)
			}
		}
	}
}

// TestEachFlagIsReadBeforeTheAPIServerIsAsked starts the controller with a wrong flag where no API server is: the flag is what is wrong.
func TestEachFlagIsReadBeforeTheAPIServerIsAsked(t *testing.T) {
	for flag, want := range map[string]string{
		"--scheduler-config=/absent.yaml":      "--scheduler-config (VPSIE_AUTOSCALER_SCHEDULER_CONFIG): open /absent.yaml: no such file or directory",
		"--scheduler-feature-gates=Flying=yes": "--scheduler-feature-gates (VPSIE_AUTOSCALER_SCHEDULER_FEATURE_GATES): ",
		"--log-level=loud":                     `--log-level (VPSIE_AUTOSCALER_LOG_LEVEL): "loud" is none of info, debug, error`,
		"--credentials-namespace=default":      "finding the cluster: run inside it, or name a kubeconfig with --kubeconfig or KUBECONFIG: ",
	} {
		cmd := command()
		cmd.SetArgs([]string{flag, "--kubeconfig=" + filepath.Join(t.TempDir(), "absent")})
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", flag, err, want)
		}
	}
}

func TestVersionNamesCommitAndDate(t *testing.T) {
	t.Setenv("VPSIE_AUTOSCALER_NONSENSE", "is the controller's business only")
	var out bytes.Buffer
	cmd := command()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"version"})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	if want := "vpsie-autoscaler dev (commit unknown, built unknown)\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
