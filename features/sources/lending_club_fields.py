"""LendingClub's columns that become extra fields: all were known when the loan was granted.

The publisher's dictionary describes them. Columns filled in later (payments, recoveries,
settlements, hardship plans, the last credit pull and its scores) are not among them.
"""

from typing import Final

from features.sources.extra_fields import category_extra, flag_extra, number_extra

GRADES: Final = tuple("ABCDEFG")
SUB_GRADES: Final = tuple(f"{grade}{step}" for grade in GRADES for step in range(1, 6))
EMPLOYMENT_LENGTHS: Final = (
    "< 1 year",
    "1 year",
    *(f"{years} years" for years in range(2, 10)),
    "10+ years",
)

# Written to every tape, null where the file lacks the column.
DECLARED: Final = (
    category_extra("grade", "LendingClub grade", "平台信用等级", "borrower", GRADES),
    category_extra("sub_grade", "LendingClub sub-grade", "平台信用子等级", "borrower", SUB_GRADES),
    category_extra(
        "employment_length", "Length of employment", "工作年限", "borrower", EMPLOYMENT_LENGTHS
    ),
    category_extra("home_ownership", "Home ownership", "住房情况"),
    category_extra("verification_status", "How the income was verified", "收入核实情况"),
    category_extra("purpose", "Purpose of the loan", "借款用途"),
    category_extra(
        "initial_list_status", "Listed whole or in fractions", "初始挂牌方式", "exposure"
    ),
    flag_extra(
        "outside_credit_policy", "Granted outside the later credit policy", "不符合授信政策"
    ),
    flag_extra("joint_application", "Joint application", "共同借款"),
    number_extra("installment", "Monthly instalment", "月供", "exposure", "currency"),
    number_extra(
        "installment_to_income",
        "Instalments of a year to annual income",
        "年供收入比",
        "exposure",
        "ratio",
    ),
    number_extra(
        "instalments_paid",
        "Instalments that the repaid principal stands for",
        "已还期数(按本金推算)",
        "payments",
        "months",
    ),
    number_extra(
        "funded_to_requested", "Amount granted to amount asked for", "批贷比例", "exposure", "ratio"
    ),
    number_extra(
        "investor_funded_share",
        "Share of the loan funded by investors",
        "投资人出资比例",
        "exposure",
        "ratio",
    ),
    number_extra(
        "credit_history_months",
        "Age of the oldest credit line at issue",
        "信用历史时长",
        unit="months",
    ),
    number_extra(
        "inq_last_6mths",
        "Credit inquiries in six months before issue",
        "近6个月查询次数",
        unit="count",
    ),
    number_extra(
        "delinq_2yrs", "Delinquencies in two years before issue", "近2年逾期次数", unit="count"
    ),
    number_extra(
        "mths_since_last_delinq",
        "Months since the last delinquency at issue",
        "距上次逾期月数",
        unit="months",
    ),
    number_extra(
        "mths_since_last_record",
        "Months since the last public record at issue",
        "距上次公共记录月数",
        unit="months",
    ),
    number_extra("open_acc", "Open credit lines", "未结清账户数", unit="count"),
    number_extra("pub_rec", "Derogatory public records", "不良公共记录数", unit="count"),
    number_extra("pub_rec_bankruptcies", "Bankruptcies on record", "破产记录数", unit="count"),
    number_extra("tax_liens", "Tax liens", "欠税留置数", unit="count"),
    number_extra("revol_bal", "Revolving balance", "循环信贷余额", unit="currency"),
    number_extra("revol_util", "Share of the revolving limits in use", "循环额度使用率", unit="%"),
    number_extra(
        "revolving_to_income", "Revolving balance to annual income", "循环余额收入比", unit="ratio"
    ),
    number_extra("total_acc", "Credit lines ever held", "账户总数", unit="count"),
    number_extra(
        "collections_12_mths_ex_med",
        "Collections in twelve months, medical ones excepted",
        "近12个月催收次数(非医疗)",
        unit="count",
    ),
    number_extra("acc_now_delinq", "Accounts delinquent at issue", "当前逾期账户数", unit="count"),
    number_extra("delinq_amnt", "Amount delinquent at issue", "当前逾期金额", unit="currency"),
    number_extra(
        "chargeoff_within_12_mths", "Charge-offs in twelve months", "近12个月核销次数", unit="count"
    ),
)

# Bureau columns that the publisher added from 2012 on: declared only where the file fills them.
LATER_BUREAU: Final = (
    number_extra(
        "acc_open_past_24mths", "Accounts opened in 24 months", "近24个月开户数", unit="count"
    ),
    number_extra("avg_cur_bal", "Average balance of all accounts", "账户平均余额", unit="currency"),
    number_extra("bc_open_to_buy", "Unused limit on bank cards", "银行卡可用额度", unit="currency"),
    number_extra("bc_util", "Share of the bank-card limits in use", "银行卡额度使用率", unit="%"),
    number_extra(
        "mo_sin_old_il_acct",
        "Age of the oldest instalment account",
        "最早分期账户账龄",
        unit="months",
    ),
    number_extra(
        "mo_sin_old_rev_tl_op",
        "Age of the oldest revolving account",
        "最早循环账户账龄",
        unit="months",
    ),
    number_extra(
        "mo_sin_rcnt_tl", "Months since the newest account", "距最近开户月数", unit="months"
    ),
    number_extra("mort_acc", "Mortgage accounts", "房贷账户数", unit="count"),
    number_extra(
        "mths_since_last_major_derog",
        "Months since a 90-day rating",
        "距上次严重逾期月数",
        unit="months",
    ),
    number_extra(
        "mths_since_recent_inq", "Months since the last inquiry", "距最近查询月数", unit="months"
    ),
    number_extra(
        "num_accts_ever_120_pd",
        "Accounts ever 120 days past due",
        "曾逾期120天账户数",
        unit="count",
    ),
    number_extra("num_actv_rev_tl", "Active revolving accounts", "活跃循环账户数", unit="count"),
    number_extra("num_bc_tl", "Bank-card accounts", "银行卡账户数", unit="count"),
    number_extra("num_il_tl", "Instalment accounts", "分期账户数", unit="count"),
    number_extra(
        "num_tl_op_past_12m", "Accounts opened in 12 months", "近12个月开户数", unit="count"
    ),
    number_extra(
        "pct_tl_nvr_dlq", "Share of accounts never delinquent", "从未逾期账户占比", unit="%"
    ),
    number_extra(
        "percent_bc_gt_75", "Share of bank cards above 75% of limit", "用额超75%的卡占比", unit="%"
    ),
    number_extra("tot_coll_amt", "Collection amounts ever owed", "历史催收金额", unit="currency"),
    number_extra("tot_cur_bal", "Balance of all accounts", "账户总余额", unit="currency"),
    number_extra(
        "tot_hi_cred_lim", "Highest credit of all accounts", "历史最高授信", unit="currency"
    ),
    number_extra(
        "total_bal_ex_mort", "Balance of all accounts but mortgages", "非房贷余额", unit="currency"
    ),
    number_extra("total_bc_limit", "Limits of all bank cards", "银行卡总额度", unit="currency"),
    number_extra(
        "total_rev_hi_lim", "Limits of all revolving accounts", "循环总额度", unit="currency"
    ),
)
