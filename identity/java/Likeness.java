// How alike two texts are, to the last bit as DuckDB says it (over the bytes of UTF-8, half
// transpositions rounded down): the functions in Splink's own jar say otherwise of one pair of
// names with typos in fourteen. tests/identity/test_spark.py holds both against each other.
// Without type arguments and lambdas, so that the compiler that comes with Spark reads it.
package parcours;

import java.nio.charset.StandardCharsets;
import org.apache.spark.sql.api.java.UDF2;

public class Likeness {

    public static class JaroWinkler implements UDF2 {
        public Object call(Object one, Object other) {
            if (one == null || other == null) return null;
            return Double.valueOf(winkler(bytes(one), bytes(other)));
        }
    }

    public static class DamerauLevenshtein implements UDF2 {
        public Object call(Object one, Object other) {
            if (one == null || other == null) return null;
            return Long.valueOf(damerau(bytes(one), bytes(other)));
        }
    }

    static byte[] bytes(Object text) {
        return ((String) text).getBytes(StandardCharsets.UTF_8);
    }

    static double winkler(byte[] a, byte[] b) {
        double alike = jaro(a, b);
        if (alike <= 0.7) return alike;
        int most = Math.min(4, Math.min(a.length, b.length));
        int prefix = 0;
        while (prefix < most && a[prefix] == b[prefix]) prefix++;
        return Math.fma(prefix * 0.1, 1.0 - alike, alike);
    }

    static double jaro(byte[] a, byte[] b) {
        if (a.length == 0 || b.length == 0) return 0.0;
        int reach = Math.max(0, Math.max(a.length, b.length) / 2 - 1);
        boolean[] takenA = new boolean[a.length];
        boolean[] takenB = new boolean[b.length];
        int same = 0;
        for (int j = 0; j < b.length; j++) {
            int last = Math.min(a.length - 1, j + reach);
            for (int i = Math.max(0, j - reach); i <= last; i++) {
                if (!takenA[i] && a[i] == b[j]) {
                    takenA[i] = true;
                    takenB[j] = true;
                    same++;
                    break;
                }
            }
        }
        if (same == 0) return 0.0;
        int moved = 0;
        int j = 0;
        for (int i = 0; i < a.length; i++) {
            if (takenA[i]) {
                while (!takenB[j]) j++;
                if (a[i] != b[j]) moved++;
                j++;
            }
        }
        double m = same;
        return (m / a.length + m / b.length + (m - moved / 2) / m) / 3.0;
    }

    static long damerau(byte[] a, byte[] b) {
        int most = a.length + b.length;
        int[][] cost = new int[a.length + 2][b.length + 2];
        int[] seenAt = new int[256];
        cost[0][0] = most;
        for (int i = 0; i <= a.length; i++) {
            cost[i + 1][0] = most;
            cost[i + 1][1] = i;
        }
        for (int j = 0; j <= b.length; j++) {
            cost[0][j + 1] = most;
            cost[1][j + 1] = j;
        }
        for (int i = 1; i <= a.length; i++) {
            int seen = 0;
            for (int j = 1; j <= b.length; j++) {
                int k = seenAt[b[j - 1] & 255];
                int l = seen;
                int change = 1;
                if (a[i - 1] == b[j - 1]) {
                    change = 0;
                    seen = j;
                }
                int best = Math.min(cost[i][j] + change, cost[i + 1][j] + 1);
                int exchanged = cost[k][l] + (i - k - 1) + 1 + (j - l - 1);
                cost[i + 1][j + 1] = Math.min(best, Math.min(cost[i][j + 1] + 1, exchanged));
            }
            seenAt[a[i - 1] & 255] = i;
        }
        return cost[a.length + 1][b.length + 1];
    }
}
