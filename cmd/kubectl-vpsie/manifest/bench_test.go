// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/manifest"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/objects"
)

const manyPods = 100_000

// BenchmarkRead reads a list of 100,000 pods, as generators write them and as kubectl prints them.
func BenchmarkRead(b *testing.B) {
	for name, write := range map[string]func(io.Writer, int){
		"json": jsonPods, "json-of-a-cluster": jsonPodsOfCluster, "yaml": yamlPods,
	} {
		b.Run(name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "pods")
			size := writePods(b, path, write)
			b.SetBytes(size)
			for b.Loop() {
				result := readPods(b, path)
				if got := len(objects.Of[*corev1.Pod](result.Objects)); got != manyPods {
					b.Fatalf("read %d pods, want %d", got, manyPods)
				}
				b.ReportMetric(float64(heap()-heapWithout(result))/manyPods, "kept-B/pod")
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// heapWithout is the heap when nothing points to the result any more.
func heapWithout(result *manifest.Result) int64 {
	*result = manifest.Result{}
	return heap()
}

func readPods(tb testing.TB, path string) *manifest.Result {
	tb.Helper()
	scheme, err := objects.NewScheme()
	if err != nil {
		tb.Fatal(err)
	}
	result, err := manifest.Read([]string{path}, manifest.Options{Scheme: scheme, Kinds: []client.Object{&corev1.Pod{}}})
	if err != nil {
		tb.Fatal(err)
	}
	return result
}

func writePods(tb testing.TB, path string, write func(io.Writer, int)) int64 {
	tb.Helper()
	file, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	buffered := bufio.NewWriter(file)
	write(buffered, manyPods)
	if err := buffered.Flush(); err != nil {
		tb.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		tb.Fatal(err)
	}
	if err := file.Close(); err != nil {
		tb.Fatal(err)
	}
	return info.Size()
}

func jsonPods(w io.Writer, n int) {
	fmt.Fprint(w, `{"apiVersion":"v1","kind":"PodList","items":[`)
	for i := range n {
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-%d","namespace":"shop","labels":{"app":"web-%d"}},`+
			`"spec":{"containers":[{"name":"main","image":"example.com/web:1","resources":{"requests":{"cpu":"%dm","memory":"%dMi"}}}]}}`,
			i, i%100, 100+i%100*10, 128+i%100*8)
	}
	fmt.Fprint(w, `]}`)
}

func yamlPods(w io.Writer, n int) {
	fmt.Fprint(w, "apiVersion: v1\nkind: List\nitems:\n")
	for i := range n {
		fmt.Fprintf(w, "- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: web-%d\n    namespace: shop\n    labels:\n      app: web-%d\n"+
			"  spec:\n    containers:\n    - name: main\n      image: example.com/web:1\n      resources:\n        requests:\n          cpu: %dm\n          memory: %dMi\n",
			i, i%100, 100+i%100*10, 128+i%100*8)
	}
}

// jsonPodsOfCluster writes pods as "kubectl get pods -o json" prints them: the list's kind after its items.
func jsonPodsOfCluster(w io.Writer, n int) {
	fmt.Fprint(w, "{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n")
	for i := range n {
		if i > 0 {
			fmt.Fprint(w, ",\n")
		}
		fmt.Fprintf(w, podOfCluster, i, i%100, i, i, 100+i%100*10, 128+i%100*8)
	}
	fmt.Fprint(w, "\n    ],\n    \"kind\": \"List\",\n    \"metadata\": {\n        \"resourceVersion\": \"\"\n    }\n}\n")
}

const podOfCluster = `        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "annotations": {
                    "kubectl.kubernetes.io/restartedAt": "2026-01-31T12:00:00Z"
                },
                "creationTimestamp": "2026-01-31T12:00:00Z",
                "generateName": "web-5d4f8c7b9d-",
                "labels": {
                    "app.kubernetes.io/instance": "web",
                    "app.kubernetes.io/name": "web-%[2]d",
                    "pod-template-hash": "5d4f8c7b9d"
                },
                "name": "web-5d4f8c7b9d-%[1]d",
                "namespace": "shop",
                "ownerReferences": [
                    {
                        "apiVersion": "apps/v1",
                        "blockOwnerDeletion": true,
                        "controller": true,
                        "kind": "ReplicaSet",
                        "name": "web-5d4f8c7b9d",
                        "uid": "0e4f3c9a-58bd-4c7c-9d5a-3a8f7d0c2b11"
                    }
                ],
                "resourceVersion": "%[3]d",
                "uid": "b7d4cf6e-0000-4000-8000-%012[4]d"
            },
            "spec": {
                "containers": [
                    {
                        "env": [
                            {
                                "name": "LOG_LEVEL",
                                "value": "info"
                            },
                            {
                                "name": "POD_NAME",
                                "valueFrom": {
                                    "fieldRef": {
                                        "apiVersion": "v1",
                                        "fieldPath": "metadata.name"
                                    }
                                }
                            }
                        ],
                        "image": "example.com/web:1",
                        "imagePullPolicy": "IfNotPresent",
                        "livenessProbe": {
                            "failureThreshold": 3,
                            "httpGet": {
                                "path": "/healthz",
                                "port": 8080,
                                "scheme": "HTTP"
                            },
                            "periodSeconds": 10,
                            "successThreshold": 1,
                            "timeoutSeconds": 1
                        },
                        "name": "main",
                        "ports": [
                            {
                                "containerPort": 8080,
                                "protocol": "TCP"
                            }
                        ],
                        "resources": {
                            "requests": {
                                "cpu": "%[5]dm",
                                "memory": "%[6]dMi"
                            }
                        },
                        "terminationMessagePath": "/dev/termination-log",
                        "terminationMessagePolicy": "File",
                        "volumeMounts": [
                            {
                                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                                "name": "kube-api-access-x7k2p",
                                "readOnly": true
                            }
                        ]
                    }
                ],
                "dnsPolicy": "ClusterFirst",
                "enableServiceLinks": true,
                "preemptionPolicy": "PreemptLowerPriority",
                "priority": 0,
                "restartPolicy": "Always",
                "schedulerName": "default-scheduler",
                "securityContext": {},
                "serviceAccount": "default",
                "serviceAccountName": "default",
                "terminationGracePeriodSeconds": 30,
                "tolerations": [
                    {
                        "effect": "NoExecute",
                        "key": "node.kubernetes.io/not-ready",
                        "operator": "Exists",
                        "tolerationSeconds": 300
                    },
                    {
                        "effect": "NoExecute",
                        "key": "node.kubernetes.io/unreachable",
                        "operator": "Exists",
                        "tolerationSeconds": 300
                    }
                ],
                "volumes": [
                    {
                        "name": "kube-api-access-x7k2p",
                        "projected": {
                            "defaultMode": 420,
                            "sources": [
                                {
                                    "serviceAccountToken": {
                                        "expirationSeconds": 3607,
                                        "path": "token"
                                    }
                                }
                            ]
                        }
                    }
                ]
            },
            "status": {
                "conditions": [
                    {
                        "lastTransitionTime": "2026-01-31T12:00:00Z",
                        "message": "0/3 nodes are available: 3 Insufficient cpu.",
                        "reason": "Unschedulable",
                        "status": "False",
                        "type": "PodScheduled"
                    }
                ],
                "phase": "Pending",
                "qosClass": "Burstable"
            }
        }`
